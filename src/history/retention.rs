//! stub
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct RetentionError;
impl RetentionError { pub fn hint(&self) -> &'static str { "" } }
