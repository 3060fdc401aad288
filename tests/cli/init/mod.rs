//! `init`: creates, adopts or upgrades the schema, or changes nothing.

mod app_role;
mod baseline;
mod create_database;
mod encoding;
mod targets;
