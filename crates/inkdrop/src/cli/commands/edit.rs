//! `inkdrop edit`: image editing.

mod canvas;
mod colorize;
mod img2img;
mod inpaint;
mod interpolate;
mod inversion;
mod invert;
mod session;
mod upscale;

use anyhow::Result;

/// Edit images: image-to-image, inpainting, interpolation, inversion, super-resolution, colours
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    Colorize(Box<colorize::Arguments>),
    Img2img(Box<img2img::Arguments>),
    Inpaint(Box<inpaint::Arguments>),
    Interpolate(Box<interpolate::Arguments>),
    Invert(Box<invert::Arguments>),
    Upscale(Box<upscale::Arguments>),
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    match &arguments.task {
        Task::Colorize(arguments) => colorize::run(arguments),
        Task::Img2img(arguments) => img2img::run(arguments),
        Task::Inpaint(arguments) => inpaint::run(arguments),
        Task::Interpolate(arguments) => interpolate::run(arguments),
        Task::Invert(arguments) => invert::run(arguments),
        Task::Upscale(arguments) => upscale::run(arguments),
    }
}
