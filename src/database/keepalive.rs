//! TCP keepalives, so that the operating system detects a lost connection. The driver neither sets them nor gives
//! access to its sockets.
//!
//! [`crate::database::watchdog`] detects more, but needs a second connection, which a role may not have.

/// How long a connection is idle before a probe, and the interval between probes.
#[cfg(target_os = "linux")]
const INTERVAL: std::time::Duration = std::time::Duration::from_secs(10);
/// How many probes may stay unanswered.
#[cfg(target_os = "linux")]
const QUESTIONS: u32 = 3;

/// Sets TCP keepalives for all sockets of this process. Errors are ignored.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the descriptor is known by its number alone")]
pub(crate) fn set_for_all_sockets() {
    use std::os::fd::BorrowedFd;

    use rustix::net::sockopt;

    let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") else { return };
    for entry in descriptors.flatten() {
        let is_socket =
            std::fs::read_link(entry.path()).is_ok_and(|link| link.to_string_lossy().starts_with("socket:"));
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(number) = number.filter(|number| is_socket && *number >= 0) else { continue };
        // SAFETY: the descriptor was just open. If it has been closed since, the calls fail or set harmless options.
        let socket = unsafe { BorrowedFd::borrow_raw(number) };
        if sockopt::set_tcp_keepidle(socket, INTERVAL).is_err() {
            continue;
        }
        sockopt::set_tcp_keepintvl(socket, INTERVAL).ok();
        sockopt::set_tcp_keepcnt(socket, QUESTIONS).ok();
        // While sent data is unacknowledged, no probes are sent.
        let limit = u32::try_from(INTERVAL.as_millis()).unwrap_or(u32::MAX).saturating_mul(QUESTIONS + 1);
        sockopt::set_tcp_user_timeout(socket, limit).ok();
        sockopt::set_socket_keepalive(socket, true).ok();
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn set_for_all_sockets() {}
