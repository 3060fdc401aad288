//! `init`: creates, adopts or upgrades the schema, or changes nothing.

mod baseline;
mod encoding;
mod targets;
