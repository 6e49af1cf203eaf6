// A reporter that leaves the totals in a file, for scripts/test.mjs.
import { writeFileSync } from 'node:fs';

export default class CountReporter {
  onTestRunEnd(modules, errors) {
    const totals = { passed: 0, failed: 0, skipped: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') totals.passed++;
        else if (state === 'failed') totals.failed++;
        else totals.skipped++;
      }
      if (module.errors().length > 0) totals.failed++;
    }
    totals.failed += errors.length;
    writeFileSync(process.env.MILLRACE_TEST_REPORT, JSON.stringify(totals));
  }
}
