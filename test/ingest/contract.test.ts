import { describe, it } from 'vitest';
import { recordLogContract } from '../../src/testing/log-contract.js';
import { openAt } from './support.js';

describe('the lake is a record log', () => {
  for (const { name, run } of recordLogContract(openAt)) it(name, run, 20_000);
});
