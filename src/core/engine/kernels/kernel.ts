import type { Frame, View } from './view.js';

/** Writes one feature's values and statuses for all observations of a loaded view, over the members of its frame. */
export type Kernel = (view: View, frame: Frame) => void;
