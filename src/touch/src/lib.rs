//! Challenge bytes, enrolment and assertion verification: what a touch proves.
