//! Every action of the console, once: id, title, help, danger and where it applies. Keymap,
//! palette, help and the bottom bar are made from this table; what an action does is in `app`.

/// How much care an action needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Danger {
    None,
    /// Asks again, or can be undone.
    Confirm,
    /// Leads to a touch. Reached by a chord or the palette, never by a bare key, and dead for a
    /// moment after a paste, an Escape or a change of focus.
    Touch,
}

/// Where an action's key applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Mode {
    /// The panes.
    Normal,
    /// The thesis and lesson editor.
    Editor,
    /// The kill, rotate and resume dialog.
    Dialog,
}

impl Mode {
    pub(crate) const ALL: [Self; 3] = [Self::Normal, Self::Editor, Self::Dialog];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Editor => "editor",
            Self::Dialog => "dialog",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Normal => "Panes",
            Self::Editor => "Thesis and lesson editor",
            Self::Dialog => "Kill, rotate and resume",
        }
    }
}

/// What is known of an action besides what it does.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) action: Action,
    /// As in the keymap file.
    pub(crate) id: &'static str,
    /// For the bottom bar: one or two words.
    pub(crate) short: &'static str,
    pub(crate) title: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) danger: Danger,
    pub(crate) mode: Mode,
}

macro_rules! actions {
    ($($mode:ident { $($variant:ident $id:literal $danger:ident $short:literal $title:literal $doc:literal)* })*) => {
        /// An action, by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Action { $($($variant,)*)* }

        /// The table.
        pub(crate) const ACTIONS: &[Spec] = &[
            $($(Spec {
                action: Action::$variant,
                id: $id,
                short: $short,
                title: $title,
                doc: $doc,
                danger: Danger::$danger,
                mode: Mode::$mode,
            },)*)*
        ];
    };
}

actions! {
    Normal {
        Kill "kill.open" Touch "kill" "Kill: revoke every key that can trade or move money"
            "Shows the plan first; needs a touch. Keeps protective stops and the read keys."
        Rotate "rotate.open" Touch "rotate" "Rotate keys"
            "The key under the cursor in the keys pane, otherwise a choice; needs a touch with PIN."
        Resume "resume.open" Touch "resume" "Release a latched rung"
            "Asks which; needs a touch with PIN. The only way to loosen anything."
        Acknowledge "alert.ack" Confirm "ack" "Acknowledge a review"
            "The selected alert, or the oldest open review. Unblocks the review and nothing else."
        Thesis "thesis.edit" None "thesis" "Write a thesis"
            "Opens the editor over the journal for the selected position's trade."
        Lesson "lesson.edit" None "lesson" "Write a lesson"
            "Opens the editor over the journal for the selected trade."
        Note "note.edit" None "note" "Write a note"
            "A journal entry that belongs to no trade."
        Open "entry.open" None "open" "Open the selected entry"
            "The journal entry under the cursor, whole; any other pane alone on the screen."
        Back "back" None "back" "Back"
            "Closes what is open: entry, filter, zoom."
        Filter "journal.filter" None "filter" "Filter the journal"
            "By kind (kind:halt) or any text; Enter keeps the filter, Esc clears it."
        Copy "entry.copy" None "copy" "Copy the selected entry"
            "To the clipboard of your terminal (OSC 52), also over SSH."
        Up "cursor.up" None "up" "Up" "One line."
        Down "cursor.down" None "down" "Down" "One line."
        PageUp "cursor.page-up" None "page up" "Page up" "One page."
        PageDown "cursor.page-down" None "page down" "Page down" "One page."
        Top "cursor.top" None "top" "First line" "Newest first: the newest."
        Bottom "cursor.bottom" None "bottom" "Last line" "The oldest that is loaded."
        NextPane "pane.next" None "pane" "Next pane" "Moves the focus."
        PreviousPane "pane.previous" None "previous" "Previous pane" "Moves the focus back."
        Ladder "pane.ladder" None "ladder" "Ladder" "Focus the ladder."
        Positions "pane.positions" None "positions" "Positions" "Focus positions and foreign orders."
        Journal "pane.journal" None "journal" "Journal" "Focus the journal."
        Chart "pane.chart" None "chart" "Equity chart" "Focus the chart with the rungs as lines."
        Keys "pane.keys" None "keys" "Keys" "Focus the key registry: declared and observed."
        Alerts "pane.alerts" None "alerts" "Alerts and actions" "Focus what was done and who was told."
        Health "pane.health" None "health" "Health" "Focus components and feeds."
        Zoom "pane.zoom" None "zoom" "Zoom the pane" "The focused pane alone; again to return."
        Freeze "view.freeze" None "freeze" "Freeze the picture"
            "Holds the panes still for reading; data is still received. Kill and rotate work."
        Theme "view.theme" None "theme" "Next theme" "default, dark, light, colour-blind, mono."
        Mouse "view.mouse" None "mouse" "Mouse on or off"
            "Off lets the terminal select text; on scrolls and focuses panes."
        Redraw "view.redraw" None "redraw" "Redraw the screen" "After something else wrote on it."
        Palette "palette.open" None "palette" "Command palette" "Finds an action by name, description or key."
        Help "help.open" None "help" "Help" "Every key of the present place."
        Suspend "app.suspend" None "suspend" "Suspend" "Back to the shell; fg returns."
        Quit "app.quit" None "quit" "Quit" "A running kill or rotation goes on without the console."
    }
    Editor {
        Send "editor.send" None "send" "Send to the journal"
            "Writes the entry; it cannot be changed afterwards, only followed by a later one."
        CloseEditor "editor.close" None "keep draft" "Close the editor" "The draft is kept."
        External "editor.external" None "$EDITOR" "Write in $EDITOR" "Opens $VISUAL or $EDITOR on the draft."
        SwitchKind "editor.kind" None "thesis/lesson" "Thesis, lesson or note" "What the text is."
        Discard "editor.discard" Confirm "discard" "Discard the draft" "Undo brings it back until the editor is closed."
    }
    Dialog {
        Confirm "dialog.confirm" None "continue" "Continue" "The next step, as the dialog says."
        CloseDialog "dialog.back" None "back" "Back" "Cancels what has not begun; what runs goes on."
        Touch "dialog.touch" None "touch" "Touch the demo key" "In the demo: the software key signs."
        Flatten "dialog.flatten" None "flatten" "Close positions first" "Toggles; the plan is made anew."
        Total "dialog.total" None "total" "Everything, also the read keys" "Toggles; the plan is made anew."
        Pick "dialog.pick" None "pick" "Pick" "Toggles the line under the cursor."
        CopyProof "dialog.copy" None "copy proof" "Copy the proof" "The signed report, to the clipboard."
        ShowEntry "dialog.journal" None "journal" "Open in the journal" "Leaves the dialog and filters the journal for the run."
        DialogUp "dialog.up" None "up" "Up" "Scrolls, or moves the cursor."
        DialogDown "dialog.down" None "down" "Down" "Scrolls, or moves the cursor."
    }
}

impl Action {
    /// The action's line of the table.
    pub(crate) fn spec(self) -> Option<&'static Spec> {
        ACTIONS.iter().find(|spec| spec.action == self)
    }

    /// The action of this id.
    pub(crate) fn parse(id: &str) -> Option<&'static Spec> {
        ACTIONS.iter().find(|spec| spec.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_everything_has_words() {
        for (at, spec) in ACTIONS.iter().enumerate() {
            assert!(
                ACTIONS[at + 1..].iter().all(|other| other.id != spec.id),
                "{} stands twice",
                spec.id
            );
            assert!(
                !spec.title.is_empty() && spec.doc.ends_with('.'),
                "{}",
                spec.id
            );
            assert_eq!(spec.action.spec().map(|s| s.id), Some(spec.id));
        }
    }
}
