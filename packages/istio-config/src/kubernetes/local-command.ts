// Kubernetes in local mode: the command that stands for a container's image.

/** Annotation on a pod template: a JSON array, the program and its arguments; run in the directory of the YAML file. */
export const LOCAL_COMMAND_ANNOTATION = 'lateen.io/local-command';

/** The command of the annotation's text, or undefined where the text is not one. */
export function parseLocalCommand(text: string): string[] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Not JSON is the same as not a command; the caller says so with the position.
    return undefined;
  }
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const words = value.filter((word): word is string => typeof word === 'string');
  return words.length === value.length && words[0] !== '' ? words : undefined;
}

/** What is wrong with the annotation's text, or undefined. */
export function localCommandFault(text: string): string | undefined {
  if (parseLocalCommand(text)) return undefined;
  return `the annotation ${LOCAL_COMMAND_ANNOTATION} is not a command; write a JSON array of strings such as ["node", "server.js"]`;
}
