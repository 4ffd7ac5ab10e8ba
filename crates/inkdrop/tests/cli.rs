//! The laws of the `inkdrop` command line, asked of the built binary.
//!
//! One tiny model, trained by the binary itself, serves every test that needs a model.

mod cli {
    mod data;
    mod resume;
    mod support;
    mod train;
    mod train_data;
    mod train_input;
    mod usage;
}
