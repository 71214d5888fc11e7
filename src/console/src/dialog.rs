//! The kill, rotate and resume dialog as a state machine: one dialog that changes by step. It
//! knows no socket and no screen; it takes what the revoker said and what the operator pressed,
//! and returns what to ask next.
//!
//! It must never show an outcome that the revoker did not state, and never say "dead" of a key by
//! itself.

use crate::client::run::{Event, Finished};
use crate::line_edit::LineEdit;
use fusebox_domain::{AccountName, KeyName};
use fusebox_wire::operator::{Challenge, KeyProof, Plan, Step, StepState, Wish};
use std::time::{Duration, Instant};

/// What the dialog is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Kill,
    Rotate,
    Resume,
}

impl Subject {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Rotate => "ROTATE",
            Self::Resume => "RESUME",
        }
    }
}

/// What the operator may choose from before there is a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// What it names: a key, or a rung.
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) picked: bool,
}

/// Which step is shown.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    Choose,
    /// Waiting for the revoker's plan or challenge.
    Asking(&'static str),
    Plan,
    /// The challenge is out; `since` for its countdown.
    Touch {
        since: Instant,
        demo: bool,
        signing: bool,
    },
    Running {
        since: Instant,
    },
    Done,
    /// Nothing runs; why.
    Failed {
        message: String,
        next: &'static str,
    },
}

/// What to ask of the task that talks to the revoker.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    Plan(Wish),
    Challenge(Wish),
    /// The demo key's touch.
    Touch,
    Cancel,
    Attach(String),
}

/// What the application is to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Nothing,
    Send(Command),
    /// Close; nothing of ours runs.
    Close,
    /// Out of the way; the run goes on and the dialog comes back by its key.
    Hide,
    Tell(&'static str),
}

/// How long after a keystroke in the reason the plan is asked for anew.
const REPLAN: Duration = Duration::from_millis(350);

/// The dialog.
#[derive(Debug)]
pub(crate) struct Dialog {
    pub(crate) id: u64,
    pub(crate) subject: Subject,
    pub(crate) account: Option<AccountName>,
    pub(crate) stage: Stage,
    pub(crate) choices: Vec<Choice>,
    pub(crate) cursor: usize,
    pub(crate) reason: LineEdit,
    /// The reason of the plan that is shown, and of the one that was asked for last.
    planned: String,
    asked: String,
    /// When the plan is asked for anew, after the reason was typed.
    pub(crate) replan_at: Option<Instant>,
    pub(crate) total: bool,
    pub(crate) flatten: bool,
    pub(crate) config_hash: String,
    pub(crate) plan: Option<Plan>,
    pub(crate) challenge: Option<Challenge>,
    pub(crate) run: Option<String>,
    pub(crate) steps: Vec<Step>,
    pub(crate) keys: Vec<KeyProof>,
    pub(crate) finished: Option<Finished>,
    pub(crate) hidden: bool,
    pub(crate) scroll: usize,
    /// The scroll position was moved by hand: do not follow the newest step.
    pub(crate) held: bool,
}

impl Dialog {
    pub(crate) fn new(id: u64, subject: Subject, account: Option<AccountName>) -> Self {
        Self {
            id,
            subject,
            account,
            stage: Stage::Asking("plan"),
            choices: Vec::new(),
            cursor: 0,
            reason: LineEdit::default(),
            planned: String::new(),
            asked: String::new(),
            replan_at: None,
            total: false,
            flatten: false,
            config_hash: String::new(),
            plan: None,
            challenge: None,
            run: None,
            steps: Vec::new(),
            keys: Vec::new(),
            finished: None,
            hidden: false,
            scroll: 0,
            held: false,
        }
    }

    /// Whether keys go into the reason field.
    pub(crate) fn is_typing(&self) -> bool {
        matches!(self.stage, Stage::Plan)
    }

    /// Whether something of ours may be going on at the revoker.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running { .. })
    }

    pub(crate) fn wish(&self) -> Wish {
        let reason = self.reason.text();
        let picked = || self.choices.iter().filter(|c| c.picked);
        match self.subject {
            Subject::Kill => Wish::Kill {
                account: self.account.clone(),
                total: self.total,
                flatten: self.flatten,
                key_theft: false,
                reason,
            },
            Subject::Rotate => Wish::Rotate {
                keys: picked().map(|c| KeyName::new(c.id.clone())).collect(),
                due: picked().next().is_none(),
                reason,
            },
            Subject::Resume => Wish::Resume {
                account: self.account.clone().unwrap_or_else(|| AccountName::new("")),
                rung: picked().next().map(|c| c.id.clone()).unwrap_or_default(),
                release: "release".to_owned(),
                config_hash: self.config_hash.clone(),
                reason,
            },
        }
    }

    /// The reason was changed: it is part of the plan, so the plan is asked for again soon.
    pub(crate) fn typed(&mut self, now: Instant) {
        self.replan_at = Some(now + REPLAN);
    }

    /// The moment has come to ask for the plan with the new reason.
    pub(crate) fn replan(&mut self, now: Instant) -> Option<Command> {
        self.replan_at.take_if(|at| now >= *at)?;
        self.asked = self.reason.text();
        self.is_typing().then(|| Command::Plan(self.wish()))
    }

    /// Whether the plan that is shown is the one that Enter would ask a touch for.
    pub(crate) fn is_current(&self) -> bool {
        self.planned == self.reason.text()
    }

    /// The revoker said something.
    pub(crate) fn hear(&mut self, event: Event, now: Instant) {
        match event {
            // A plan for options that were changed meanwhile is followed by its successor.
            Event::Plan(plan) => {
                self.plan = Some(plan);
                self.planned.clone_from(&self.asked);
                if matches!(self.stage, Stage::Asking(_)) {
                    self.stage = Stage::Plan;
                }
            }
            Event::Challenge(challenge, demo) => {
                self.plan = Some(challenge.plan.clone());
                self.planned = self.reason.text();
                self.challenge = Some(challenge);
                self.scroll = 0;
                self.stage = Stage::Touch {
                    since: now,
                    demo,
                    signing: !demo,
                };
            }
            Event::Touched => self.stage = Stage::Running { since: now },
            Event::Started(run) => {
                self.run = Some(run);
                if !self.is_running() {
                    self.stage = Stage::Running { since: now };
                }
            }
            Event::Step(step) => self.step(step),
            Event::Key(key) => match self.keys.iter_mut().find(|k| k.name == key.name) {
                Some(known) => *known = key,
                None => self.keys.push(key),
            },
            Event::Done(finished) => {
                self.steps.clone_from(&finished.report.steps);
                self.keys.clone_from(&finished.report.keys);
                self.run = Some(finished.report.id.clone());
                self.finished = Some(finished);
                self.stage = Stage::Done;
                self.hidden = false;
                self.held = false;
                self.scroll = 0;
            }
            Event::Failed { code, message } => {
                let next = match code.as_str() {
                    "lost" => {
                        "The run goes on without this console. Esc closes; the journal shows it."
                    }
                    "expired" | "touch" => "Enter asks again with a new challenge; Esc closes.",
                    _ => "Nothing was started by this console. Esc closes.",
                };
                self.stage = Stage::Failed { message, next };
                self.hidden = false;
            }
        }
    }

    fn step(&mut self, step: Step) {
        match self.steps.iter_mut().find(|s| s.step == step.step) {
            Some(known) => *known = step,
            None => self.steps.push(step),
        }
    }

    /// Enter.
    pub(crate) fn confirm(&mut self) -> Answer {
        match &self.stage {
            Stage::Choose => {
                if self.choices.iter().all(|c| !c.picked)
                    && let Some(choice) = self.choices.get_mut(self.cursor)
                {
                    choice.picked = true;
                }
                self.stage = Stage::Asking("plan");
                Answer::Send(Command::Plan(self.wish()))
            }
            Stage::Plan => {
                self.stage = Stage::Asking("challenge");
                Answer::Send(Command::Challenge(self.wish()))
            }
            Stage::Failed { next, .. } if next.starts_with("Enter") => {
                self.stage = Stage::Asking("challenge");
                Answer::Send(Command::Challenge(self.wish()))
            }
            Stage::Done | Stage::Failed { .. } => Answer::Close,
            Stage::Touch { demo: true, .. } => Answer::Tell("press t: Enter alone touches nothing"),
            _ => Answer::Nothing,
        }
    }

    /// Esc: cancels what has not begun; what runs goes on.
    pub(crate) fn back(&mut self) -> Answer {
        match self.stage {
            Stage::Touch { .. } => {
                self.stage = Stage::Plan;
                self.challenge = None;
                Answer::Send(Command::Cancel)
            }
            Stage::Running { .. } => {
                self.hidden = true;
                Answer::Hide
            }
            _ => Answer::Close,
        }
    }

    /// `t`, in the demo.
    pub(crate) fn touch(&mut self) -> Answer {
        match &mut self.stage {
            Stage::Touch {
                demo: true,
                signing,
                ..
            } if !*signing => {
                *signing = true;
                Answer::Send(Command::Touch)
            }
            Stage::Touch { demo: false, .. } => Answer::Tell("touch the key itself: it blinks"),
            _ => Answer::Nothing,
        }
    }

    /// Changes an option of the plan and asks for it anew.
    pub(crate) fn toggle(&mut self, option: fn(&mut Self) -> &mut bool) -> Answer {
        if self.subject != Subject::Kill || !matches!(self.stage, Stage::Plan) {
            return Answer::Nothing;
        }
        let flag = option(self);
        *flag = !*flag;
        self.asked = self.reason.text();
        self.stage = Stage::Asking("plan");
        Answer::Send(Command::Plan(self.wish()))
    }

    /// Space, in a choice.
    pub(crate) fn pick(&mut self) {
        if !matches!(self.stage, Stage::Choose) {
            return;
        }
        let one_only = self.subject == Subject::Resume;
        let at = self.cursor;
        for (n, choice) in self.choices.iter_mut().enumerate() {
            if n == at {
                choice.picked = !choice.picked;
            } else if one_only {
                choice.picked = false;
            }
        }
    }

    /// Up and down: the cursor of a choice, else the scroll position.
    pub(crate) fn walk(&mut self, down: bool) {
        let step = |at: usize, last: usize| {
            if down {
                (at + 1).min(last)
            } else {
                at.saturating_sub(1)
            }
        };
        if matches!(self.stage, Stage::Choose) {
            self.cursor = step(self.cursor, self.choices.len().saturating_sub(1));
        } else {
            self.held = true;
            self.scroll = step(self.scroll, 500);
        }
    }

    /// Milliseconds until the challenge is worthless.
    pub(crate) fn left_ms(&self, now: Instant) -> Option<u64> {
        let Stage::Touch { since, .. } = self.stage else {
            return None;
        };
        let document = &self.challenge.as_ref()?.document;
        let life = document.expires_ms.saturating_sub(document.issued_ms);
        let gone =
            u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX);
        Some(life.saturating_sub(gone))
    }

    /// Steps that are neither done nor left out.
    pub(crate) fn open_steps(&self) -> usize {
        let open = |s: &&Step| !matches!(s.state, StepState::Done | StepState::Skipped);
        self.steps.iter().filter(open).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    fn at_plan() -> Dialog {
        let mut dialog = Dialog::new(1, Subject::Kill, Some("trading-1".into()));
        dialog.hear(Event::Plan(fake::plan()), Instant::now());
        dialog
    }

    #[test]
    fn enter_asks_for_a_challenge_and_only_t_touches_the_demo_key() {
        let now = Instant::now();
        let mut dialog = at_plan();
        dialog.reason.insert("rogue order");
        let Answer::Send(Command::Challenge(Wish::Kill { reason, .. })) = dialog.confirm() else {
            panic!("no challenge");
        };
        assert_eq!(reason, "rogue order");
        dialog.hear(Event::Challenge(fake::challenge(), true), now);
        assert!(matches!(dialog.confirm(), Answer::Tell(_)));
        assert_eq!(dialog.touch(), Answer::Send(Command::Touch));
        assert_eq!(dialog.touch(), Answer::Nothing, "one question, one touch");
        assert_eq!(dialog.left_ms(now + Duration::from_secs(13)), Some(47_000));
    }

    #[test]
    fn a_typed_reason_asks_for_the_plan_once_more() {
        let now = Instant::now();
        let mut dialog = at_plan();
        assert!(dialog.is_current());
        dialog.reason.insert("x");
        dialog.typed(now);
        assert!(!dialog.is_current());
        assert_eq!(dialog.replan(now), None, "not at every keystroke");
        assert!(matches!(
            dialog.replan(now + REPLAN),
            Some(Command::Plan(_))
        ));
        assert_eq!(dialog.replan(now + REPLAN), None);
        dialog.hear(Event::Plan(fake::plan()), now);
        assert!(dialog.is_current());
    }

    #[test]
    fn esc_cancels_before_the_touch_and_hides_after_it() {
        let now = Instant::now();
        let mut dialog = at_plan();
        dialog.confirm();
        dialog.hear(Event::Challenge(fake::challenge(), false), now);
        assert_eq!(dialog.back(), Answer::Send(Command::Cancel));
        assert!(dialog.is_typing());
        dialog.hear(Event::Touched, now);
        assert_eq!(dialog.back(), Answer::Hide);
        assert!(dialog.hidden && dialog.is_running());
        dialog.hear(Event::Done(fake::finished()), now);
        assert!(!dialog.hidden, "the result comes forward");
        assert_eq!(dialog.back(), Answer::Close);
    }

    #[test]
    fn options_make_a_new_plan_only_before_the_touch() {
        let mut dialog = at_plan();
        let answer = dialog.toggle(|d| &mut d.flatten);
        assert!(matches!(
            answer,
            Answer::Send(Command::Plan(Wish::Kill { flatten: true, .. }))
        ));
        dialog.hear(Event::Touched, Instant::now());
        assert_eq!(dialog.toggle(|d| &mut d.total), Answer::Nothing);
    }

    #[test]
    fn rotation_of_nothing_picked_takes_the_line_under_the_cursor() {
        let mut dialog = Dialog::new(1, Subject::Rotate, None);
        dialog.stage = Stage::Choose;
        dialog.choices = ["a", "b"]
            .map(|id| Choice {
                id: id.into(),
                text: id.into(),
                picked: false,
            })
            .into();
        dialog.walk(true);
        let Answer::Send(Command::Plan(Wish::Rotate { keys, due, .. })) = dialog.confirm() else {
            panic!("no plan");
        };
        assert_eq!((keys, due), (vec!["b".into()], false));
    }

    #[test]
    fn a_failed_touch_can_be_asked_again_a_lost_line_cannot() {
        let mut dialog = at_plan();
        let failed = |code: &str| Event::Failed {
            code: code.into(),
            message: String::new(),
        };
        dialog.hear(failed("expired"), Instant::now());
        assert!(matches!(
            dialog.confirm(),
            Answer::Send(Command::Challenge(_))
        ));
        dialog.hear(failed("lost"), Instant::now());
        assert_eq!(dialog.confirm(), Answer::Close);
    }
}
