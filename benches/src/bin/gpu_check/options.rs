//! Command-line options of `gpu_check`.

use inkdrop_torch::DeviceChoice;

/// The text of `--help`.
pub const HELP: &str = "\
Compares the results of a GPU with those of the CPU, and measures its speed.

Usage: cargo xtask gpu-check [OPTIONS]
       gpu_check [OPTIONS]

  --device <D>   cuda or cuda:N; cpu uses the CPU instead of a GPU, to test this program
                 [default: cuda]
  --quick        small networks instead of the presets
  --no-timings   check correctness only
  --help         print this text

The output is a description of the machine, one line per check, and tables of times and peak memory.

Exit status: 0 all correct, 1 something is wrong, 2 no usable GPU (the reason is printed) or
invalid arguments.

The binary also runs on another machine of the same architecture with Python's torch 2.11.0
and CUDA. Build it here with `cargo build --release -p inkdrop-benches --bin gpu_check`,
copy target/release/gpu_check, and there:

  LD_LIBRARY_PATH=$(python3 -c 'import os, torch; print(os.path.dirname(torch.__file__) + \"/lib\")') \\
      ./gpu_check
";

/// Options of the program.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// The device that is compared with the CPU.
    pub device: DeviceChoice,
    /// Use small networks.
    pub quick: bool,
    /// Print timings, too; never for the CPU.
    pub timings: bool,
    /// Print the help text only.
    pub help: bool,
}

impl Options {
    /// Parses the arguments. The error contains the invalid one.
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
    fn invalid_arguments_are_named() {
        for (given, word) in [("--fast", "--fast"), ("--device", "cuda:N"), ("--device x", "`x`")] {
            assert!(parse(given).unwrap_err().contains(word), "{given}");
        }
    }
}
