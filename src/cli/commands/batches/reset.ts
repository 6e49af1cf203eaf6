import { marking } from '../../marking.js';

export const command = marking(null);
