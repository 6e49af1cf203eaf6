/**
 * Where an entity's events are cut into segments: a function of the events alone, so that the stored bytes do not tell
 * how they came. From the first event on, a segment ends before the first event that is at least half a segment away
 * and whose seq says so, or when it is full; but only when `slack` events follow. The rest is the head.
 */
import type { SealSizes } from './plan.js';

/** Does a segment that began `distance` events before the event with this seq end there? */
export function cutsAt(seal: SealSizes, distance: number, seq: number): boolean {
  if (distance >= seal.segment) return true;
  if (distance < seal.segment >>> 1) return false;
  const mixed = Math.imul((seq % 0x1_0000_0000) ^ (seq / 0x1_0000_0000), 0x9e37_79b1) >>> 0;
  return mixed < 0x1_0000_0000 / Math.max(2, seal.segment >>> 2);
}
