//! The laws of the `inkdrop` command line, asked of the built binary.
//!
//! One tiny model, trained by the binary itself, serves every test that needs a model.

mod cli {
    mod animation;
    mod bad_files;
    mod built_in;
    mod continuous;
    mod convert;
    mod convert_folder;
    mod convert_input;
    mod data;
    mod depth;
    mod distill;
    mod edit;
    mod edit_inpaint;
    mod edit_input;
    mod edit_upscale;
    mod edit_ways;
    mod eval_bpd;
    mod eval_distance;
    mod eval_input;
    mod foreign_weights;
    mod image_condition;
    mod inspect;
    mod inspect_foreign;
    mod launch;
    mod launch_eval;
    mod launch_nccl;
    mod launch_sharded;
    mod lucid;
    mod many;
    mod many_input;
    mod many_stopped;
    mod model_files;
    mod networks;
    mod old_names;
    mod plan;
    mod plan_input;
    mod report;
    mod resume;
    mod resume_trouble;
    mod sample;
    mod sample_foreign;
    mod sample_foreign_input;
    mod sample_input;
    mod sample_output;
    mod serve;
    mod shared_files;
    mod snapshots;
    mod support;
    mod train;
    mod train_data;
    mod train_files;
    mod train_input;
    mod train_odd_data;
    mod train_recipe;
    mod usage;
}
