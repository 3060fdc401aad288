//! A statement of SQLite that binds values where they are. The driver and rusqlite copy each value first, and with it a
//! row of 100 MB takes 100 MB more.

use std::ffi::{CStr, CString, c_int, c_uchar};
use std::marker::PhantomData;
use std::{ptr, slice};

use rusqlite::{Connection, ffi};

use super::sqlite_value::SqliteValue;

/// `SQLITE_UTF8`, in the type that the function takes.
const UTF8: c_uchar = 1;

/// A prepared statement. Nothing is bound between two runs.
pub(crate) struct Statement<'c> {
    handle: *mut ffi::sqlite3_stmt,
    connection: PhantomData<&'c Connection>,
}

/// The row that a statement has arrived at.
pub(crate) struct Row<'s> {
    statement: &'s Statement<'s>,
}

#[expect(unsafe_code, reason = "rusqlite has no way to bind a value without a copy")]
impl<'c> Statement<'c> {
    /// # Errors
    /// SQLite's error.
    pub(crate) fn prepare(connection: &'c Connection, sql: &str) -> rusqlite::Result<Self> {
        let sql = CString::new(sql).map_err(rusqlite::Error::NulError)?;
        let mut handle = ptr::null_mut();
        // SAFETY: the connection is open for `'c`, and the text ends with NUL.
        let code =
            unsafe { ffi::sqlite3_prepare_v2(connection.handle(), sql.as_ptr(), -1, &raw mut handle, ptr::null_mut()) };
        let statement = Self { handle, connection: PhantomData };
        // SAFETY: as above.
        if code == ffi::SQLITE_OK { Ok(statement) } else { Err(unsafe { error_of(connection.handle()) }) }
    }

    /// Runs it with these values up to its first row, which `read` is given.
    ///
    /// # Errors
    /// SQLite's error.
    pub(crate) fn run<'v, T>(
        &mut self,
        values: impl IntoIterator<Item = SqliteValue<'v>>,
        read: impl FnOnce(Option<&Row<'_>>) -> T,
    ) -> rusqlite::Result<T> {
        let bound = values.into_iter().zip(1..).try_for_each(|(value, place)| self.bind(value, place));
        // SAFETY: the statement is prepared, and the values that it refers to live until this function returns.
        let code = bound.map(|()| unsafe { ffi::sqlite3_step(self.handle) });
        let result = match code {
            Ok(ffi::SQLITE_ROW) => Ok(read(Some(&Row { statement: self }))),
            Ok(ffi::SQLITE_DONE) => Ok(read(None)),
            Ok(_) => Err(self.error()),
            Err(error) => Err(error),
        };
        // SAFETY: the statement is prepared. Afterwards it refers to no value.
        unsafe {
            ffi::sqlite3_reset(self.handle);
            ffi::sqlite3_clear_bindings(self.handle);
        }
        result
    }

    /// Binds a value, which must live until the bindings are cleared.
    fn bind(&self, value: SqliteValue<'_>, place: c_int) -> rusqlite::Result<()> {
        let handle = self.handle;
        // SAFETY: the statement is prepared and not running; without a destructor SQLite refers to the bytes.
        let code = unsafe {
            match value {
                SqliteValue::Null => ffi::sqlite3_bind_null(handle, place),
                SqliteValue::Integer(number) => ffi::sqlite3_bind_int64(handle, place, number),
                SqliteValue::Real(number) => ffi::sqlite3_bind_double(handle, place, number),
                SqliteValue::Text(bytes) => {
                    let (start, length) = (bytes.as_ptr().cast(), bytes.len() as u64);
                    ffi::sqlite3_bind_text64(handle, place, start, length, None, UTF8)
                }
                SqliteValue::Blob(bytes) => {
                    let (start, length) = (bytes.as_ptr().cast(), bytes.len() as u64);
                    ffi::sqlite3_bind_blob64(handle, place, start, length, None)
                }
            }
        };
        if code == ffi::SQLITE_OK { Ok(()) } else { Err(self.error()) }
    }

    fn error(&self) -> rusqlite::Error {
        // SAFETY: the statement is prepared, and its connection is open.
        unsafe { error_of(ffi::sqlite3_db_handle(self.handle)) }
    }
}

#[expect(unsafe_code, reason = "see `Statement`")]
impl Drop for Statement<'_> {
    fn drop(&mut self) {
        // SAFETY: it was prepared, or is null, which does nothing.
        unsafe { ffi::sqlite3_finalize(self.handle) };
    }
}

#[expect(unsafe_code, reason = "see `Statement`")]
impl Row<'_> {
    /// The value of a column, until the next run.
    pub(crate) fn value(&self, index: c_int) -> SqliteValue<'_> {
        let handle = self.statement.handle;
        // SAFETY: the statement is at a row, which does not change while this is borrowed; SQLite answers NULL for an
        // index without a column. The pointer is asked for before the length, as SQLite requires.
        unsafe {
            match ffi::sqlite3_column_type(handle, index) {
                ffi::SQLITE_INTEGER => SqliteValue::Integer(ffi::sqlite3_column_int64(handle, index)),
                ffi::SQLITE_FLOAT => SqliteValue::Real(ffi::sqlite3_column_double(handle, index)),
                ffi::SQLITE_TEXT => {
                    let start = ffi::sqlite3_column_text(handle, index);
                    SqliteValue::Text(bytes(start, ffi::sqlite3_column_bytes(handle, index)))
                }
                ffi::SQLITE_BLOB => {
                    let start = ffi::sqlite3_column_blob(handle, index).cast();
                    SqliteValue::Blob(bytes(start, ffi::sqlite3_column_bytes(handle, index)))
                }
                _ => SqliteValue::Null,
            }
        }
    }
}

/// The bytes of a value. An empty value may be a null pointer; so may one for which there was no memory, and an empty
/// value is then found to differ.
///
/// # Safety
/// Unless `start` is null it points to so many bytes, which live for `'a`.
#[expect(unsafe_code, reason = "see `Statement`")]
unsafe fn bytes<'a>(start: *const u8, length: c_int) -> &'a [u8] {
    match usize::try_from(length) {
        // SAFETY: the caller vouches for it.
        Ok(length) if !start.is_null() => unsafe { slice::from_raw_parts(start, length) },
        _ => &[],
    }
}

/// The last error of a connection.
///
/// # Safety
/// The handle is that of an open connection.
#[expect(unsafe_code, reason = "see `Statement`")]
unsafe fn error_of(handle: *mut ffi::sqlite3) -> rusqlite::Error {
    // SAFETY: the caller vouches for the handle; the message is copied before the next call.
    let (code, message) = unsafe {
        (ffi::sqlite3_extended_errcode(handle), CStr::from_ptr(ffi::sqlite3_errmsg(handle)).to_string_lossy())
    };
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(message.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::SqliteValue::{Blob, Integer, Null, Real, Text};
    use super::*;

    fn connection() -> Connection {
        Connection::open_in_memory().expect("memory")
    }

    #[test]
    fn values_of_every_class_come_back_as_they_are() {
        let connection = connection();
        let mut statement = Statement::prepare(&connection, "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7").expect("sound SQL");
        let values = [Null, Integer(i64::MIN), Real(-0.0), Text(b"a\0\xff"), Text(b""), Blob(b"\0b"), Blob(b"")];
        let found = statement.run(values, |row| {
            let row = row.expect("a row");
            values.iter().zip(0..).map(|(value, index)| (*value, row.value(index))).filter(|(a, b)| a != b).count()
        });
        assert_eq!(found.expect("it runs"), 0);
        let rest = statement.run([], |row| row.expect("a row").value(1) == Null);
        assert!(rest.expect("it runs"), "no value stays bound");
    }

    #[test]
    fn an_error_has_sqlites_code_and_message() {
        let connection = connection();
        connection.execute_batch("CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1)").expect("sound SQL");
        let mut insert = Statement::prepare(&connection, "INSERT INTO t VALUES (?1)").expect("sound SQL");
        let error = insert.run([Integer(1)], |_| ()).expect_err("it exists");
        assert_eq!(error.sqlite_error().map(|error| error.extended_code), Some(ffi::SQLITE_CONSTRAINT_UNIQUE));
        assert_eq!(error.to_string(), "UNIQUE constraint failed: t.a");
        insert.run([Integer(2)], |row| assert!(row.is_none())).expect("it is new");
        assert!(Statement::prepare(&connection, "SELEC").is_err_and(|error| error.to_string().contains("SELEC")));
    }
}
