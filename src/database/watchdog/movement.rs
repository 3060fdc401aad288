//! What moves: answers that come, chunks that are sent, work that is begun and done.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::mutex::lock;
use crate::progress::{Amount, Meter, Phase, Progress};

/// Counts the movements of work, and knows what it is at.
#[derive(Default)]
pub(crate) struct Movements {
    count: Arc<AtomicU64>,
    /// How many parts of the work wait for something else than the server.
    elsewhere: AtomicU64,
    /// What the work is at, or was when it failed.
    phases: Mutex<Vec<Phase>>,
}

impl Movements {
    /// Where movements are counted.
    pub(crate) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.count)
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Says that something moved.
    pub(crate) fn moved(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether there were movements since `seen`, which becomes their count by now. Work elsewhere is one.
    pub(crate) fn has_moved(&self, seen: &mut u64) -> bool {
        let now = self.count();
        std::mem::replace(seen, now) != now || self.elsewhere.load(Ordering::Relaxed) > 0
    }

    /// What the work is at, or was when it failed; it is forgotten.
    pub(crate) fn take_phase(&self) -> Option<Phase> {
        lock(&self.phases).pop()
    }
}

/// Counts for as long as it lives, also where the work is dropped.
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

/// Passes on what work tells of its progress, and takes every word of it for a movement.
pub(crate) struct Overheard<'m> {
    pub(crate) movements: &'m Movements,
    pub(crate) progress: &'m dyn Progress,
}

impl Progress for Overheard<'_> {
    fn begin(&self, phase: Phase, total: Amount) -> Box<dyn Meter + '_> {
        self.movements.moved();
        lock(&self.movements.phases).push(phase.clone());
        let meter = self.progress.begin(phase.clone(), total);
        Box::new(OverheardMeter { movements: self.movements, phase, meter })
    }

    fn clear(&self) {
        self.progress.clear();
    }
}

struct OverheardMeter<'m> {
    movements: &'m Movements,
    phase: Phase,
    meter: Box<dyn Meter + 'm>,
}

impl Meter for OverheardMeter<'_> {
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
        let progress = Overheard { movements: &movements, progress: &Silence };
        let copying = progress.begin(Phase::new("copying", "events"), Amount::default());
        progress.begin(Phase::new("checking", "events"), Amount::default()).finish();
        assert_eq!(movements.take_phase(), Some(Phase::new("copying", "events")));
        copying.finish();
        assert_eq!(movements.take_phase(), None);
    }
}
