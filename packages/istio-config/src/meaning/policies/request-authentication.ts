// Meaning of RequestAuthentication.
import type { RequestAuthenticationSpec } from '../../kinds/policies/request-authentication.js';
import { type MeaningRule, present } from '../rule.js';
import { checkAttachment } from './attachment.js';

export const checkRequestAuthentication: MeaningRule<RequestAuthenticationSpec> = (spec, faults) => {
  checkAttachment(spec, faults);
  for (const [index, rule] of present(spec.jwtRules)) {
    const path = ['jwtRules', index];
    if (rule.issuer === '')
      faults.error([...path, 'issuer'], 'required', '`issuer` is empty; write the `iss` of the tokens');
    else if (!('issuer' in rule)) faults.error(path, 'required', '`issuer` is required in JWTRule; add it');
  }
};
