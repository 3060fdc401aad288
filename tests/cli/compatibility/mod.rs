//! Files and documents that earlier releases wrote: this one reads them. `make-0.1.0` made those in `0.1.0/`.

mod archives;
mod documents;
mod reports;
mod settings;
