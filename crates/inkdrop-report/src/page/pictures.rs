//! Embedded sample grids and animation.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};

use super::Animation;
use crate::{Run, png};

/// A row of sample grids, which the script converts to one image with a slider.
pub(super) fn samples(run: &Run) -> Option<Markup> {
    let some = run.samples.len() < run.sample_count;
    Some(html! {
        @if run.samples.is_empty() {
            p.empty { "There are no samples yet." }
        } @else {
            div.strip tabindex="0" role="group" aria-label="Sample grids by step" {
                @for sample in &run.samples {
                    figure data-step=(sample.step) {
                        (image("image/png", &sample.png, &format!("samples after step {}", sample.step)))
                        figcaption { "step " (sample.step) }
                    }
                }
            }
            @if some {
                p.empty { (run.samples.len()) " of " (run.sample_count) " grids, evenly spread" }
            }
        }
    })
}

/// The animation with its caption.
pub(super) fn animation(animation: &Animation) -> Markup {
    html! {
        figure.animation {
            (image(animation.media, &animation.bytes, &animation.caption))
            figcaption { (animation.caption) }
        }
    }
}

fn image(media: &str, bytes: &[u8], words: &str) -> Markup {
    let source = format!("data:{media};base64,{}", STANDARD.encode(bytes));
    let [width, height] = png::size(bytes).map_or([None; 2], |size| size.map(Some));
    html! { img src=(source) alt=(words) width=[width] height=[height]; }
}
