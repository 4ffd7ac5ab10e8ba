//! How each spacing picks its steps.

use crate::{ScheduleError, linspace};

pub(super) fn sections(counts: &[usize], steps: usize) -> Result<Vec<usize>, ScheduleError> {
    if counts.is_empty() {
        return Err(ScheduleError::StepCount { asked: 0, available: steps });
    }
    let (size_each, extra) = (steps / counts.len(), steps % counts.len());
    let mut start = 0;
    let mut picks = Vec::new();
    for (section, &asked) in counts.iter().enumerate() {
        let size = size_each + usize::from(section < extra);
        if asked == 0 {
            return Err(ScheduleError::StepCount { asked, available: steps });
        }
        if size < asked {
            return Err(ScheduleError::Section { section, size, asked });
        }
        let stride = if asked == 1 { 1.0 } else { (size - 1) as f64 / (asked - 1) as f64 };
        let mut at = 0.0f64;
        for _ in 0..asked {
            // Half to even, as Python rounds: half away from zero picks other steps.
            picks.push(start + at.round_ties_even() as usize);
            at += stride;
        }
        start += size;
    }
    Ok(picks)
}

pub(super) fn stride(count: usize, steps: usize) -> Result<Vec<usize>, ScheduleError> {
    check_count(count, steps)?;
    (1..steps)
        .find(|stride| steps.div_ceil(*stride) == count)
        .map(|stride| (0..steps).step_by(stride).collect())
        .ok_or(ScheduleError::NoStride { asked: count, available: steps })
}

pub(super) fn trailing(count: usize, steps: usize) -> Result<Vec<usize>, ScheduleError> {
    check_count(count, steps)?;
    let stride = steps as f64 / count as f64;
    let pick = |back: usize| (steps as f64 - back as f64 * stride).round_ties_even() as usize - 1;
    Ok((0..count).rev().map(pick).collect())
}

pub(super) fn leading(
    count: usize,
    offset: usize,
    steps: usize,
) -> Result<Vec<usize>, ScheduleError> {
    check_count(count, steps)?;
    let stride = steps / count;
    let last = ((count - 1) * stride).saturating_add(offset);
    if last >= steps {
        return Err(ScheduleError::Offset { offset, last, available: steps });
    }
    Ok((0..count).map(|i| i * stride + offset).collect())
}

pub(super) fn linspace(count: usize, steps: usize) -> Result<Vec<usize>, ScheduleError> {
    check_count(count, steps)?;
    let at = linspace::linspace(0.0, (steps - 1) as f64, count);
    Ok((0..count).map(|i| at(i).round_ties_even() as usize).collect())
}

pub(super) fn quadratic(count: usize, steps: usize) -> Result<Vec<usize>, ScheduleError> {
    check_count(count, steps)?;
    let end = (steps as f64 * 0.8).sqrt();
    let root = linspace::linspace(0.0, end, count);
    let picks: Vec<usize> = (0..count).map(|i| root(i).powi(2) as usize).collect();
    // i²·d² rounded down differs from i to i + 1 exactly where d, the distance of roots, is 1 or more.
    if picks.windows(2).any(|pair| pair[0] == pair[1]) {
        let most = 1 + end as usize;
        return Err(ScheduleError::Crowded { asked: count, most, available: steps });
    }
    Ok(picks)
}

fn check_count(asked: usize, available: usize) -> Result<(), ScheduleError> {
    if asked == 0 || asked > available {
        return Err(ScheduleError::StepCount { asked, available });
    }
    Ok(())
}
