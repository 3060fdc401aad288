use crate::{error::Error,output::Report,settings::Settings};
pub(super) async fn run<A>(_: &A, _: &Settings, _: chrono::DateTime<chrono::Utc>) -> Result<Report, Error> { todo!() }
