use crate::{error::Error,output::Report,settings::Settings,cli::*,database_url::DatabaseUrl};
pub(super) async fn run<A>(_: &A, _: &Settings) -> Result<Report, Error> { todo!() }
pub(super) async fn until_usable(_: &Wait, _: &DatabaseUrl) -> Result<(), Error> { todo!() }
impl Wait { pub fn at_most(_: std::time::Duration, _: WaitFor) -> Self { todo!() } }
