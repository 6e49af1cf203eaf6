import { pinning } from '../../pinning.js';

export const command = pinning(false);
