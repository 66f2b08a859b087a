//! Which names the embedded name server answers with, and for whom.
