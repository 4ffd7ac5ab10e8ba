//! The page of all sorts of runs.

use inkdrop_report::{Animation, Extras, Log, Run, Sample, page};

/// The beginning of a PNG file of this size.
pub fn png(width: u32, height: u32) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    png.extend(width.to_be_bytes());
    png.extend(height.to_be_bytes());
    png.extend([8, 2, 0, 0, 0]);
    png
}

fn run(log: &str) -> Run {
    let config = "[model]\nfamily = \"context\"\n[process.schedule]\nname = \"cosine\"\nsteps = 100\n[train]\nsteps = 400\n";
    Run { name: "<one>".into(), config: config.into(), log: Log::parse(log), ..Run::default() }
}

fn html(run: &Run) -> String {
    page(run, &Extras::default())
}

/// Tags are closed in the order that they were opened.
fn check_tags(html: &str) {
    let mut open = Vec::new();
    let body = html.split("<script>").next().unwrap();
    let style = body.find("<style>").unwrap()..body.find("</style>").unwrap();
    let body = format!("{}{}", &body[..style.start], &body[style.end + 8..]);
    for tag in body.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
        let name = tag.split([' ', '\n']).next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if ["!DOCTYPE", "meta", "img", "br"].contains(&name) => {}
            None => open.push(name),
        }
    }
    assert_eq!(open, ["html", "body"], "what the script stands in");
}

#[test]
fn nothing_is_fetched_and_names_are_escaped() {
    let mut run = run("{\"step\":1,\"loss\":1,\"a<b\":2}\n");
    run.samples = vec![Sample { step: 1, png: png(8, 8) }];
    let html = html(&run);
    check_tags(&html);
    assert!(html.contains("&lt;one&gt;") && !html.contains("<one>"));
    assert!(html.contains("a&lt;b"));
    for outside in ["http://", "https://", "src=\"/", "<link", "@import", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn a_run_at_its_start_says_what_is_not_there_yet() {
    let html = html(&run(""));
    check_tags(&html);
    for words in
        ["The log contains no metrics yet", "no samples yet", "no steps logged yet", "ln SNR"]
    {
        assert!(html.contains(words), "{words}");
    }
    check_tags(&page(&Run::default(), &Extras::default()));
}

#[test]
fn keys_that_are_not_known_get_a_chart() {
    let html = html(&run(
        "{\"step\":1,\"loss\":1,\"loss_q0\":0.5,\"loss_q1\":2,\"validation\":1.5,\"waiting\":0.1}\n\
         {\"step\":9,\"loss\":0.5,\"loss_q0\":0.2,\"loss_q1\":1,\"validation\":0.7,\"waiting\":0.2}\n",
    ));
    check_tags(&html);
    assert!(html.contains("loss: loss from 1 at step 1 to 0.5 at step 9; validation from 1.5"));
    assert!(html.contains("loss_q0 from 0.5 at step 1") && html.contains("loss_q1 from 2"));
    assert!(html.contains("waiting: waiting from 0.1"));
    assert!(html.contains("9 of 400"));
}

#[test]
fn gaps_and_broken_lines_are_told_and_drawn_as_gaps() {
    let html = html(&run(
        "{\"step\":1,\"loss\":1}\n{\"step\":2,\"loss\":0.9}\n{\"step\":3,\"loss\":null}\n{\"step\":4,\"loss\":0.8}\nNaN\n",
    ));
    check_tags(&html);
    assert!(html.contains("1 line of the log could not be read"));
    assert!(html.contains("1 number of the log is not finite"));
    assert!(!html.contains("NaN") && !html.contains("inf,"), "no such numbers in paths");
    assert_eq!(html.matches("<circle").count(), 1, "a point between gaps is seen");
    let never = super::page::html(&run("{\"step\":1,\"loss\":null}\n"));
    assert!(never.contains("The log contains no metrics yet."), "only gaps");
}

#[test]
fn long_logs_are_thinned_and_keep_their_spread() {
    let line = |step: usize| format!("{{\"step\":{step},\"loss\":{}}}\n", 1.0 + (step % 7) as f64);
    let log: String = (1..=30_000).map(line).collect();
    let html = html(&run(&log));
    check_tags(&html);
    assert!(html.len() < 120_000, "{}", html.len());
    assert!(html.contains("<polygon"));
}

#[test]
fn the_schedule_is_drawn_or_says_why_not() {
    let mut run = run("");
    assert!(html(&run).contains("β, noise of each step"));
    run.config = run.config.replace("cosine", "spiral");
    assert!(html(&run).contains("The schedule is invalid"));
    run.config = "this is no TOML [".into();
    let html = html(&run);
    assert!(!html.contains("Schedule") && html.contains("this is no TOML ["));
}

#[test]
fn time_adds_up_over_restarts() {
    let log = Log::parse(
        "{\"step\":1,\"seconds\":50}\n{\"step\":2,\"seconds\":100}\n{\"step\":3,\"seconds\":20}\n",
    );
    assert!(html(&Run { log, ..Run::default() }).contains("2 min 0 s"));
}

#[test]
fn extras_and_evaluations_are_shown() {
    let mut run = run("");
    let per_step: Vec<f64> = (0..20).map(|t| 1.0 / (t + 1) as f64).collect();
    let value = serde_json::json!({"bits_per_dim": 3.25, "size": [16, 16, 3], "per_step": {"vb": per_step}});
    run.evaluations = vec![("bpd".into(), value)];
    let animation = Animation { bytes: png(3, 2), media: "image/apng", caption: "50 steps".into() };
    let extras = Extras {
        animation: Some(animation),
        environment: vec![("device".into(), "cpu".into())],
        notes: vec!["mind this".into()],
    };
    let html = page(&run, &extras);
    check_tags(&html);
    for words in [
        "3.25000",
        "16 × 16 × 3",
        "per_step.vb",
        "data:image/apng;base64,",
        "50 steps",
        "mind this",
    ] {
        assert!(html.contains(words), "{words}");
    }
}

/// A list with a value for each timestep is shown over them, whatever the spacing.
#[test]
fn the_values_of_timesteps_are_shown_over_them() {
    let steps: Vec<u32> = (0..10).map(|i| 100 * i + 99).collect();
    let losses: Vec<f64> = steps.iter().map(|t| 1.0 / f64::from(t + 1)).collect();
    let shown = |steps: serde_json::Value| {
        let mut run = run("");
        let value = serde_json::json!({"per_step": {"vb": losses}, "steps": steps});
        run.evaluations = vec![("bpd".into(), value)];
        html(&run)
    };
    let html = shown(serde_json::json!(steps));
    assert!(html.contains("timestep") && html.contains("800"), "{html}");
    let html = shown(serde_json::json!(10));
    assert!(!html.contains("timestep") && !html.contains("800"), "{html}");
}
