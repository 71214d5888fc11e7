//! What may be said in an alert.

use fusebox_domain::clean_line;

/// How bad it is; rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Worth looking at.
    Warn,
    /// Needs a person now.
    Critical,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }
}

/// One fact of a notice. What is not in this list is not sent: in particular no balance, no
/// position, no address and no key beyond its last four characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// `testnet`.
    Environment(String),
    /// Change against a basis, basis points; negative is loss.
    Change {
        /// `day`, `week`, `month`, `peak`.
        basis: String,
        /// Basis points.
        change_bp: i64,
        /// The loss at which the rung trips, basis points, positive.
        threshold_bp: u32,
    },
    /// Age of the last good data, seconds.
    AgeS(u64),
    /// What was begun by itself.
    Begun(String),
    /// How something ended.
    Outcome(String),
    /// A key, of which the last four characters are shown.
    Key(String),
    /// The six words of a plan.
    Words(Vec<String>),
    /// The next step for a person.
    Next(String),
}

impl Field {
    fn line(&self) -> String {
        match self {
            Self::Environment(name) => format!("environment: {name}"),
            Self::Change {
                basis,
                change_bp,
                threshold_bp,
            } => format!(
                "{basis}: {} (limit -{})",
                percent(*change_bp),
                percent(i64::from(*threshold_bp))
            ),
            Self::AgeS(age_s) => format!("last good data: {age_s} s old"),
            Self::Begun(what) => format!("begun: {what}"),
            Self::Outcome(what) => format!("result: {what}"),
            Self::Key(key) => {
                let skip = key.chars().count().saturating_sub(4);
                format!("key: ···{}", key.chars().skip(skip).collect::<String>())
            }
            Self::Words(words) => format!("plan: {}", words.join(" · ")),
            Self::Next(what) => format!("next: {what}"),
        }
    }
}

/// `-5.02 %` of -502.
fn percent(bp: i64) -> String {
    let sign = if bp < 0 { "-" } else { "" };
    let bp = bp.unsigned_abs();
    format!("{sign}{}.{:02} %", bp / 100, bp % 100)
}

/// A message to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How bad it is.
    pub level: Level,
    /// The rule that speaks: `R1`, `B2`, `foreign-order`.
    pub rule: String,
    /// What it is about: the account.
    pub subject: String,
    /// One line.
    pub title: String,
    /// The facts.
    pub fields: Vec<Field>,
}

impl Notice {
    /// The text for a channel: plain lines, control characters gone, at most 1000 characters.
    pub fn text(&self) -> String {
        let head = format!(
            "{} {} {}: {}",
            self.level.word(),
            self.rule,
            self.subject,
            self.title
        );
        let lines = self.fields.iter().map(Field::line);
        let all: Vec<String> = std::iter::once(head)
            .chain(lines)
            .map(|line| clean_line(&line, 200))
            .collect();
        fusebox_domain::clean(&all.join("\n"), 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_what_a_person_needs_at_three_in_the_morning() {
        let notice = Notice {
            level: Level::Critical,
            rule: "R3".into(),
            subject: "trading-1".into(),
            title: "monthly loss, bot scaled to zero".into(),
            fields: vec![
                Field::Environment("testnet".into()),
                Field::Change {
                    basis: "month".into(),
                    change_bp: -1_507,
                    threshold_bp: 1_500,
                },
                Field::Key("abcdefgh1234".into()),
                Field::Next("open the console".into()),
            ],
        };
        assert_eq!(
            notice.text(),
            "CRITICAL R3 trading-1: monthly loss, bot scaled to zero\nenvironment: testnet\n\
             month: -15.07 % (limit -15.00 %)\nkey: ···1234\nnext: open the console"
        );
    }

    #[test]
    fn text_from_outside_cannot_steer_a_terminal_or_forge_a_line() {
        let notice = Notice {
            level: Level::Info,
            rule: "X".into(),
            subject: "a\nCRITICAL R4".into(),
            title: "\x1b[2Jgone".into(),
            fields: vec![],
        };
        assert_eq!(notice.text().lines().count(), 1);
        assert!(!notice.text().contains('\x1b'));
    }
}
