//! The laws of the `inkdrop` command line, asked of the built binary.
//!
//! One tiny model, trained by the binary itself, serves every test that needs a model.

mod cli {
    mod built_in;
    mod data;
    mod inspect;
    mod model_files;
    mod resume;
    mod sample;
    mod sample_input;
    mod sample_output;
    mod support;
    mod train;
    mod train_data;
    mod train_input;
    mod usage;
}
