//! The open alerts: repetition, acknowledgement, escalation. Pure: time is passed in.

use crate::{Level, Notice};

/// A repetition within this is swallowed.
const DEDUP_MS: i64 = 30 * 60_000;

/// An alert that needs a person is told again when nobody acknowledged it for this long.
const ACK_MS: i64 = 10 * 60_000;

/// Alerts kept.
const KEPT: usize = 50;

/// One alert on the desk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Unique on this desk.
    pub id: String,
    /// What it says.
    pub notice: Notice,
    /// How deep inside the rule, so that getting worse is told: percent of loss, for example.
    pub depth: i64,
    /// When it was first raised, milliseconds.
    pub raised_ms: i64,
    /// When it was last told, milliseconds.
    pub told_ms: i64,
    /// When it is told again unless acknowledged, milliseconds; `None`: needs no acknowledgement,
    /// or has it.
    pub ack_by_ms: Option<i64>,
    /// Whether somebody acknowledged it.
    pub acknowledged: bool,
    /// How often it was told again for want of an acknowledgement.
    pub escalations: u32,
}

/// What became of a raise.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Raised {
    /// To be told: new, worse, or long ago. The alert's id.
    Tell(String),
    /// Told recently; swallowed. The alert's id.
    Muted(String),
}

/// All alerts of a component, newest last.
#[derive(Debug, Clone, Default)]
pub struct Desk {
    alerts: Vec<Open>,
    next: u64,
    /// Goes into the ids, so that those of two starts differ.
    epoch: String,
}

impl Desk {
    /// An empty desk; `epoch` tells the ids of this start from those of others.
    pub fn new(epoch: impl Into<String>) -> Self {
        Self {
            epoch: epoch.into(),
            ..Self::default()
        }
    }

    /// Raises an alert. The same rule and subject within 30 minutes is swallowed, unless its level
    /// or depth rose. While nobody acknowledged the former one, the story goes on in it: it is told
    /// again under its id, and one acknowledgement is enough (a flood hides what matters, T32).
    pub fn raise(&mut self, notice: Notice, depth: i64, now_ms: i64) -> Raised {
        let same =
            |a: &&mut Open| a.notice.rule == notice.rule && a.notice.subject == notice.subject;
        if let Some(open) = self.alerts.iter_mut().rev().find(same) {
            let worse = notice.level > open.notice.level || depth > open.depth;
            if !worse && now_ms.saturating_sub(open.told_ms) < DEDUP_MS {
                return Raised::Muted(open.id.clone());
            }
            if !open.acknowledged {
                let needed = (notice.level >= Level::Warn).then(|| now_ms.saturating_add(ACK_MS));
                open.ack_by_ms = open.ack_by_ms.or(needed);
                open.notice = notice;
                open.depth = open.depth.max(depth);
                open.told_ms = now_ms;
                return Raised::Tell(open.id.clone());
            }
        }
        self.next += 1;
        let id = format!("{}-{}", self.epoch, self.next);
        if self.alerts.len() == KEPT {
            self.alerts.remove(0);
        }
        self.alerts.push(Open {
            id: id.clone(),
            ack_by_ms: (notice.level >= Level::Warn).then(|| now_ms.saturating_add(ACK_MS)),
            notice,
            depth,
            raised_ms: now_ms,
            told_ms: now_ms,
            acknowledged: false,
            escalations: 0,
        });
        Raised::Tell(id)
    }

    /// Notes an acknowledgement, also of everything older with the same rule and subject.
    /// `false`: no such alert.
    pub fn acknowledge(&mut self, id: &str) -> bool {
        let Some(at) = self.alerts.iter().position(|a| a.id == id) else {
            return false;
        };
        let Some((rule, subject)) = self
            .alerts
            .get(at)
            .map(|a| (a.notice.rule.clone(), a.notice.subject.clone()))
        else {
            return false;
        };
        for open in self.alerts.iter_mut().take(at + 1) {
            if open.notice.rule == rule && open.notice.subject == subject {
                open.acknowledged = true;
                open.ack_by_ms = None;
            }
        }
        true
    }

    /// The alerts that must be told again now because nobody acknowledged them. Only the newest of
    /// a rule and subject is: the older ones are the same story.
    pub fn due(&mut self, now_ms: i64) -> Vec<Open> {
        let mut told = Vec::new();
        let mut due = Vec::new();
        for open in self.alerts.iter_mut().rev() {
            let story = (open.notice.rule.clone(), open.notice.subject.clone());
            let newest = !told.contains(&story);
            if newest {
                told.push(story);
            }
            if open.ack_by_ms.is_some_and(|at| at <= now_ms) {
                open.ack_by_ms = newest.then(|| now_ms.saturating_add(ACK_MS));
                if newest {
                    open.escalations += 1;
                    open.told_ms = now_ms;
                    due.push(open.clone());
                }
            }
        }
        due
    }

    /// All alerts, oldest first.
    pub fn alerts(&self) -> &[Open] {
        &self.alerts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn notice(level: Level, rule: &str) -> Notice {
        Notice {
            level,
            rule: rule.into(),
            subject: "trading-1".into(),
            title: "loss".into(),
            fields: vec![],
        }
    }

    fn told(raised: Raised) -> bool {
        matches!(raised, Raised::Tell(_))
    }

    #[test]
    fn a_repetition_is_swallowed_for_half_an_hour_unless_it_got_worse() {
        let mut desk = Desk::new("e");
        assert!(told(desk.raise(notice(Level::Warn, "R1"), 5, 0)));
        assert!(!told(desk.raise(notice(Level::Warn, "R1"), 5, 29 * MINUTE)));
        assert!(
            told(desk.raise(notice(Level::Warn, "R2"), 5, 29 * MINUTE)),
            "another rule"
        );
        assert!(
            told(desk.raise(notice(Level::Warn, "R1"), 6, 29 * MINUTE)),
            "deeper"
        );
        assert!(
            told(desk.raise(notice(Level::Critical, "R1"), 6, 29 * MINUTE)),
            "graver"
        );
        assert!(!told(desk.raise(notice(Level::Warn, "R1"), 6, 58 * MINUTE)));
        assert!(
            told(desk.raise(notice(Level::Warn, "R1"), 6, 59 * MINUTE)),
            "long ago"
        );
    }

    #[test]
    fn nobody_answering_means_it_is_told_again_every_ten_minutes() {
        let mut desk = Desk::new("e");
        let Raised::Tell(id) = desk.raise(notice(Level::Critical, "R3"), 0, 0) else {
            panic!("the first one is told");
        };
        assert!(desk.due(10 * MINUTE - 1).is_empty());
        assert_eq!(desk.due(10 * MINUTE)[0].escalations, 1);
        assert!(desk.due(11 * MINUTE).is_empty());
        assert_eq!(desk.due(20 * MINUTE)[0].escalations, 2);
        assert!(desk.acknowledge(&id));
        assert!(desk.due(60 * MINUTE).is_empty());
        assert!(!desk.acknowledge("other"));
    }

    #[test]
    fn what_is_only_worth_knowing_needs_no_acknowledgement() {
        let mut desk = Desk::new("e");
        let _ = desk.raise(notice(Level::Info, "started"), 0, 0);
        assert!(desk.due(60 * MINUTE).is_empty());
    }

    #[test]
    fn a_story_that_gets_worse_is_one_alert_until_somebody_acknowledges_it() {
        let mut desk = Desk::new("e");
        let Raised::Tell(id) = desk.raise(notice(Level::Warn, "R1"), 5, 0) else {
            panic!("the first one is told");
        };
        let deeper = desk.raise(notice(Level::Warn, "R1"), 6, MINUTE);
        assert_eq!(deeper, Raised::Tell(id.clone()));
        assert_eq!(desk.alerts().len(), 1);
        assert_eq!(
            desk.due(10 * MINUTE).len(),
            1,
            "getting worse gives nobody more time"
        );
        assert!(desk.acknowledge(&id));
        let after = desk.raise(notice(Level::Warn, "R1"), 7, 11 * MINUTE);
        assert!(matches!(after, Raised::Tell(new) if new != id));
    }
}
