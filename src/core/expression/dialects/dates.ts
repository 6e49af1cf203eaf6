/** Begins with a day that exists, for engines that raise an error on one that does not. */
const LEAP = '([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)';
export const VALID_DATE =
  `^([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)` +
  `|02-(0[1-9]|1[0-9]|2[0-8]))|${LEAP}-02-29)`;
