import { describe, expect, it } from 'vitest';
import {
  betaI,
  chiSquaredCdf,
  chiSquaredIsf,
  chiSquaredSf,
  gammaP,
  gammaQ,
  logGamma,
  normalCdf,
  normalPpf,
  normalSf,
  studentCdf,
  studentPpf,
  studentSf,
} from '../../src/core/base/special.js';
import { CompensatedSum, sumOf } from '../../src/core/base/summation.js';
import { kolmogorovLimitSf, kolmogorovSf, smirnovSf } from '../../src/core/drift/kolmogorov.js';
import { expectClose } from './close.js';
import { golden, type StatisticsGolden } from './golden.js';

const { special, kolmogorov } = golden<StatisticsGolden>('statistics');

const FUNCTIONS: Record<string, (...x: number[]) => number> = {
  chi2_sf: chiSquaredSf,
  chi2_cdf: chiSquaredCdf,
  chi2_isf: chiSquaredIsf,
  normal_sf: normalSf,
  normal_ppf: normalPpf,
  student_sf: studentSf,
  student_ppf: studentPpf,
  log_gamma: logGamma,
  beta_i: betaI,
  gamma_p: gammaP,
  kolmogorov_limit_sf: kolmogorovLimitSf,
};

describe('special functions', () => {
  it.each(Object.keys(special))('%s agrees with the reference to twelve digits, tails included', (name) => {
    expect(FUNCTIONS[name]).toBeDefined();
    for (const row of special[name]) {
      const value = FUNCTIONS[name](...row.slice(0, -1));
      expectClose(value, row.at(-1)!, 1e-12, name === 'log_gamma' ? 1e-14 : 1e-305);
    }
  });

  it('chi-squared keeps a tail that other libraries lose', () => {
    expectClose(chiSquaredSf(100, 10), 5.449701982920527e-17, 1e-13);
    expectClose(chiSquaredSf(1380, 1), 4.66115845567404e-302, 1e-12, 0);
  });

  it('tails sum to one and are symmetric', () => {
    for (const z of [-6, -1.3, 0, 0.2, 4]) {
      expectClose(normalCdf(z) + normalSf(z), 1);
      expectClose(normalCdf(z), normalSf(-z));
      expectClose(studentCdf(z, 4), studentSf(-z, 4));
      expectClose(gammaP(2.5, Math.abs(z)) + gammaQ(2.5, Math.abs(z)), 1);
    }
  });

  it('what is outside the domain is NaN, not a number that looks right', () => {
    for (const value of [logGamma(-1), gammaP(-1, 2), betaI(1, 1, 2), normalPpf(1.5), studentPpf(-0.1, 3)]) {
      expect(value).toBeNaN();
    }
    expect(normalPpf(0)).toBe(Number.NEGATIVE_INFINITY);
  });
});

describe('Kolmogorov distributions', () => {
  it('the two-sided one-sample law agrees with SciPy across its methods', () => {
    for (const [n, x, p] of kolmogorov.kstwo_sf) expectClose(kolmogorovSf(n, x), p, 1e-9, 1e-14);
  });

  it('the one-sided law agrees with SciPy', () => {
    for (const [n, x, p] of kolmogorov.smirnov_sf) expectClose(smirnovSf(n, x), p, 1e-11);
  });

  it('falls from 1 to 0 without a step where the method changes', () => {
    for (const n of [3, 100, 140, 141, 2000]) {
      let previous = 1;
      for (let i = 0; i <= 400; i++) {
        const p = kolmogorovSf(n, i / 400);
        expect(p).toBeLessThanOrEqual(previous + 1e-8);
        previous = p;
      }
      expect(previous).toBe(0);
    }
  });
});

describe('compensated sums', () => {
  it('keep what plain addition loses, in any order', () => {
    const terms = [1e16, 1, -1e16, 1e-3, 1e16, -1e16];
    expect(sumOf(terms.length, (i) => terms[i])).toBe(1.001);
    expect(sumOf(terms.length, (i) => terms[terms.length - 1 - i])).toBe(1.001);
    const infinite = new CompensatedSum();
    for (const term of [1, Number.POSITIVE_INFINITY, 2]) infinite.add(term);
    expect(infinite.value).toBe(Number.POSITIVE_INFINITY);
  });
});
