//! One encode per tier for all: which viewer gets which.
//!
//! * [`policy`] decides by the viewers' links which tier each gets, and what each encoder aims at.
//! * [`sound`] decides likewise for the one encoder of sound.
//! * [`viewers`]: who there is, and what follows for each.
//! * [`switch`]: the end of all encodings for one viewer; [`gate`] decides which frames pass there.
//! * [`scaler`]: the smaller pictures.

pub mod gate;
pub mod policy;
pub mod scaler;
pub mod sound;
pub mod switch;
pub mod viewers;
