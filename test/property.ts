/**
 * fast-check with one seed for all property tests, so that a run says the same of the same code twice.
 * MILLRACE_SEED=random draws another one (a failure prints it), MILLRACE_SEED=N repeats it.
 */
import fc from 'fast-check';

const asked = process.env['MILLRACE_SEED'];
if (asked !== 'random') fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(asked ?? 1_234_567) });

export default fc;
export * from 'fast-check';
