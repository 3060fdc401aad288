//! What every command has in common as a process: streams, signals, what it shows.

mod file_size;
mod full_disk;
mod hangup;
mod hostile_text;
mod left_behind;
mod logs;
mod open_files;
mod special_files;
mod streams;
