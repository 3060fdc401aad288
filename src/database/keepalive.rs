//! Lets the operating system find out that the other end of a connection is gone: the driver does not ask for that, and
//! does not hand out its sockets.
//!
//! [`crate::database::watchdog`] finds out more, but takes a second connection, which a role may not have.

/// How long a connection is silent until the other end is asked for a sign of life, and between such questions.
#[cfg(target_os = "linux")]
const INTERVAL: std::time::Duration = std::time::Duration::from_secs(10);
/// How many questions may go without an answer.
#[cfg(target_os = "linux")]
const QUESTIONS: u32 = 3;

/// Sets it for all sockets that this process has open, as far as that is possible.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the number of a descriptor has to be taken at its word")]
pub(crate) fn set_for_all_sockets() {
    use std::os::fd::BorrowedFd;

    use rustix::net::sockopt;

    let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") else { return };
    for entry in descriptors.flatten() {
        let is_socket =
            std::fs::read_link(entry.path()).is_ok_and(|link| link.to_string_lossy().starts_with("socket:"));
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(number) = number.filter(|number| is_socket && *number >= 0) else { continue };
        // SAFETY: it was open a moment ago, and if it is closed meanwhile these calls fail, or set what is harmless.
        let socket = unsafe { BorrowedFd::borrow_raw(number) };
        if sockopt::set_tcp_keepidle(socket, INTERVAL).is_err() {
            continue;
        }
        sockopt::set_tcp_keepintvl(socket, INTERVAL).ok();
        sockopt::set_tcp_keepcnt(socket, QUESTIONS).ok();
        // Where something was sent that the other end does not confirm, nothing is asked.
        let limit = u32::try_from(INTERVAL.as_millis()).unwrap_or(u32::MAX).saturating_mul(QUESTIONS + 1);
        sockopt::set_tcp_user_timeout(socket, limit).ok();
        sockopt::set_socket_keepalive(socket, true).ok();
    }
}

/// Does nothing.
#[cfg(not(target_os = "linux"))]
pub(crate) fn set_for_all_sockets() {}
