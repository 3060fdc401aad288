//! Activity: answers, sent chunks, and phases of the work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::mutex::lock;
use crate::progress::{Amount, Meter, Phase, Progress};

/// Counts activity, and knows the current phase.
#[derive(Default)]
pub(crate) struct Movements {
    count: Arc<AtomicU64>,
    /// How many parts of the work currently do not wait for the server.
    elsewhere: AtomicU64,
    /// The phases that have begun and not finished.
    phases: Mutex<Vec<Phase>>,
}

impl Movements {
    pub(crate) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.count)
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn moved(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether there was activity since `seen`, which is updated. Work elsewhere counts as activity.
    pub(crate) fn has_moved(&self, seen: &mut u64) -> bool {
        let now = self.count();
        std::mem::replace(seen, now) != now || self.elsewhere.load(Ordering::Relaxed) > 0
    }

    /// The phase of the work, or in which it failed. It is removed.
    pub(crate) fn take_phase(&self) -> Option<Phase> {
        lock(&self.phases).pop()
    }
}

/// Counts as work elsewhere until it is dropped.
pub(crate) struct Away<'m>(&'m Movements);

impl<'m> Away<'m> {
    pub(crate) fn begin(movements: &'m Movements) -> Self {
        movements.elsewhere.fetch_add(1, Ordering::Relaxed);
        Self(movements)
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        self.0.elsewhere.fetch_sub(1, Ordering::Relaxed);
        self.0.moved();
    }
}

/// Forwards the progress of the work, and counts each report as activity.
pub(crate) struct WatchedProgress<'m> {
    pub(crate) movements: &'m Movements,
    pub(crate) progress: &'m dyn Progress,
}

impl Progress for WatchedProgress<'_> {
    fn begin(&self, phase: Phase, total: Amount) -> Box<dyn Meter + '_> {
        self.movements.moved();
        lock(&self.movements.phases).push(phase.clone());
        let meter = self.progress.begin(phase.clone(), total);
        Box::new(WatchedMeter { movements: self.movements, phase, meter })
    }

    fn clear(&self) {
        self.progress.clear();
    }
}

struct WatchedMeter<'m> {
    movements: &'m Movements,
    phase: Phase,
    meter: Box<dyn Meter + 'm>,
}

impl Meter for WatchedMeter<'_> {
    fn advance(&self, done: Amount) {
        self.movements.moved();
        self.meter.advance(done);
    }

    fn finish(&self) {
        self.movements.moved();
        let mut phases = lock(&self.movements.phases);
        if let Some(place) = phases.iter().position(|phase| *phase == self.phase) {
            phases.remove(place);
        }
        self.meter.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silence;

    #[test]
    fn work_elsewhere_moves_for_as_long_as_it_takes() {
        let movements = Movements::default();
        let mut seen = movements.count();
        assert!(!movements.has_moved(&mut seen));
        let away = Away::begin(&movements);
        assert!(movements.has_moved(&mut seen) && movements.has_moved(&mut seen));
        drop(away);
        assert!(movements.has_moved(&mut seen), "its end is a movement");
        assert!(!movements.has_moved(&mut seen));
    }

    #[test]
    fn what_is_begun_and_not_finished_is_what_the_work_is_at() {
        let movements = Movements::default();
        let progress = WatchedProgress { movements: &movements, progress: &Silence };
        let copying = progress.begin(Phase::new("copying", "events"), Amount::default());
        progress.begin(Phase::new("checking", "events"), Amount::default()).finish();
        assert_eq!(movements.take_phase(), Some(Phase::new("copying", "events")));
        copying.finish();
        assert_eq!(movements.take_phase(), None);
    }
}
