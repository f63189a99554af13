// Declarations: labels, which the API takes in many places.
import { labelNameFault, labelValue } from './formats.js';
import { map } from './message.js';
import { text } from './scalars.js';

/** An optional map of labels. */
export function labels(description: string) {
  return map(text('', { format: labelValue }), description, labelNameFault);
}
