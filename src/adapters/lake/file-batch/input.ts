import type { Source } from '../../../core/define/types.js';
import type { UnreadableRow } from '../../files/staging.js';
import type { OpenedInput } from '../open-input.js';

/** What a batch reads as one: a file, or a pile of them. */
export type BatchInput = Omit<OpenedInput, 'unreadable'> & {
  /** As it is read by the columns that are there. */
  readonly source: Source;
  /** Numbers of its files in the batch. */
  readonly first: number;
  readonly last: number;
  readonly unreadable: readonly (UnreadableRow & { readonly file: number })[];
};

/** SQL of the number of a file in its batch, over the raw columns. */
export const fileOf = ({ pile, first }: BatchInput): number | '"_file"' => (pile ? '"_file"' : first);
