//! The names of the system's users.

/// The name of the effective user.
pub(crate) fn name() -> Option<String> {
    name_of(rustix::process::geteuid().as_raw())
}

/// The name in `/etc/passwd` of the user with this number.
pub(crate) fn name_of(number: u32) -> Option<String> {
    name_in(&std::fs::read_to_string("/etc/passwd").ok()?, number)
}

/// The name of the user with this number in a table of `name:password:number:...`.
fn name_in(table: &str, number: u32) -> Option<String> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let found: u32 = fields.nth(1)?.parse().ok()?;
        (found == number && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_number() {
        let table = "root:x:0:0:root:/root:/bin/bash\n+::::::\n\ntarsy:x:1000:1000::/:/bin/sh\n";
        assert_eq!(name_in(table, 1000).as_deref(), Some("tarsy"));
        assert_eq!(name_in(table, 1), None);
    }
}
