//! What every command has in common as a process: streams, signals, what it shows.

mod file_size;
mod hangup;
mod hostile_text;
mod left_behind;
mod logs;
mod special_files;
mod streams;
