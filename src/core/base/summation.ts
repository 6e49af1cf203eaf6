/**
 * A running sum of doubles carried as an unevaluated pair (Knuth's two-sum, Neumaier's variant), so that the
 * result does not depend on the order of the terms beyond the last bit. State worth guarding: the pair.
 */
export class CompensatedSum {
  #high = 0;
  #low = 0;

  add(term: number): void {
    const sum = this.#high + term;
    this.#low += Math.abs(this.#high) >= Math.abs(term) ? this.#high - sum + term : term - sum + this.#high;
    this.#high = sum;
  }

  get value(): number {
    const total = this.#high + this.#low;
    return Number.isFinite(this.#high) ? total : this.#high;
  }
}

/** Compensated sum of `term(0) … term(length - 1)`; 0 for no terms. */
export function sumOf(length: number, term: (index: number) => number): number {
  const sum = new CompensatedSum();
  for (let i = 0; i < length; i++) sum.add(term(i));
  return sum.value;
}
