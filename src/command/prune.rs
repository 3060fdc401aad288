use crate::{error::Error,output::Report,settings::Settings,interrupt::Interrupt};
pub(super) async fn run<A>(_: &A, _: &Settings, _: &super::Context, _: &Interrupt) -> Result<Report, Error> { todo!() }
