//! TF32 option.

use anyhow::Result;
use inkdrop::torch::allow_tf32;
use serde::Serialize;

/// TF32 on or off; the default of libtorch otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args, Serialize)]
pub struct Tf32 {
    /// Use TF32 for f32 convolutions and matrix products on a GPU: faster, relative errors near
    /// 1e-3 [default: convolutions only]
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    tf32: Option<Switch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Switch {
    On,
    Off,
}

impl Tf32 {
    /// `on` or `off`, if it was given.
    pub fn value(self) -> Option<&'static str> {
        self.tf32.map(|switch| if switch == Switch::On { "on" } else { "off" })
    }

    /// Sets the flags of libtorch.
    pub fn apply(self) -> Result<()> {
        Ok(self.tf32.map_or(Ok(()), |switch| allow_tf32(switch == Switch::On))?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_of_what_was_not_said() {
        assert_eq!(serde_json::to_string(&Tf32 { tf32: None }).unwrap(), "{}");
        let on = Tf32 { tf32: Some(Switch::On) };
        assert_eq!(serde_json::to_string(&on).unwrap(), r#"{"tf32":"on"}"#);
        on.apply().unwrap();
    }
}
