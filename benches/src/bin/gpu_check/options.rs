//! What the program can be told.

use inkdrop_torch::DeviceChoice;

/// The text of `--help`.
pub const HELP: &str = "\
Checks that a GPU computes what the CPU computes, and measures how fast.

Usage: cargo xtask gpu-check [OPTIONS]
       gpu_check [OPTIONS]

  --device <D>   cuda or cuda:N; cpu puts the CPU in the GPU's place, to check this program
                 [default: cuda]
  --quick        small networks instead of the presets
  --no-timings   correctness only
  --help         this text

It prints the machine, one line per check, and tables of timings and of peak memory.

Exit status: 0 all correct, 1 something is wrong, 2 no GPU that can be used (the reason is
printed), or arguments that cannot be.

The binary runs by itself on another machine of the same architecture that has Python's torch
2.11.0 with CUDA. Build it here with `cargo build --release -p inkdrop-benches --bin gpu_check`,
copy target/release/gpu_check, and there:

  LD_LIBRARY_PATH=$(python3 -c 'import os, torch; print(os.path.dirname(torch.__file__) + \"/lib\")') \\
      ./gpu_check
";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// Where to compute what is compared with the CPU.
    pub device: DeviceChoice,
    /// Small networks.
    pub quick: bool,
    /// Tables, too; never of the CPU.
    pub timings: bool,
    /// Only say what can be asked for.
    pub help: bool,
}

impl Options {
    /// Reads the arguments; the error says which one cannot be.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let device = DeviceChoice::Cuda(0);
        let mut options = Self { device, quick: false, timings: true, help: false };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--device" => {
                    let name = arguments.next().ok_or("--device needs cuda, cuda:N or cpu")?;
                    options.device = device_of(&name)?;
                }
                "--quick" => options.quick = true,
                "--no-timings" => options.timings = false,
                "--help" | "-h" => options.help = true,
                other => return Err(format!("unknown argument `{other}`")),
            }
        }
        Ok(options)
    }
}

fn device_of(name: &str) -> Result<DeviceChoice, String> {
    match name.parse().map_err(|error| format!("{error}"))? {
        DeviceChoice::Auto => Ok(DeviceChoice::Cuda(0)),
        device => Ok(device),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        Options::parse(text.split_whitespace().map(str::to_string))
    }

    #[test]
    fn arguments_are_read() {
        let options = parse("--device cuda:1 --quick --no-timings").unwrap();
        assert_eq!(options.device, DeviceChoice::Cuda(1));
        assert!(options.quick && !options.timings && !options.help);
        assert_eq!(parse("").unwrap().device, DeviceChoice::Cuda(0));
        assert_eq!(parse("--device auto").unwrap().device, DeviceChoice::Cuda(0));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (given, word) in [("--fast", "--fast"), ("--device", "cuda:N"), ("--device x", "`x`")] {
            assert!(parse(given).unwrap_err().contains(word), "{given}");
        }
    }
}
