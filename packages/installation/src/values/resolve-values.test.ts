// Values: files and words over profiles.
import { formatProblem } from '@lateen/istio-config';
import { describe, expect, test } from 'vitest';
import { resolveValues } from './resolve-values.js';

function resolve(set: string[], ...contents: string[]) {
  const files = contents.map((content, index) => ({ name: `values-${index}.yaml`, content }));
  const { values, problems } = resolveValues({ files, set, release: '9.9.9' });
  return { values, problems: problems.map(formatProblem) };
}

describe('values', () => {
  test('without a word are the profile default, with images of the release', () => {
    const { values, problems } = resolve([]);
    expect(problems).toEqual([]);
    expect(values).toMatchObject({ profile: 'default', revision: 'default', tag: '9.9.9' });
    expect(values?.components.pilot).toMatchObject({ replicas: 2, autoscaling: { enabled: true } });
  });

  test('a later file is laid over an earlier one, a word over both, and all over the profile that they name', () => {
    const { values, problems } = resolve(
      ['components.pilot.resources.requests.cpu=2'],
      'profile: demo\ncomponents: {pilot: {replicas: 2}}',
      'components: {pilot: {replicas: 4}}',
    );
    expect(problems).toEqual([]);
    expect(values?.components.pilot).toMatchObject({
      replicas: 4,
      resources: { requests: { cpu: '2', memory: '256Mi' } },
      autoscaling: { enabled: false },
    });
    expect(values?.meshConfig).toEqual({ accessLogFile: '/dev/stdout' });
  });

  test('null takes a default away', () => {
    const { values, problems } = resolve(['profile=demo', 'meshConfig.accessLogFile=null']);
    expect(problems).toEqual([]);
    expect(values?.meshConfig).toEqual({});
  });

  test.each<[string, string[], string[], RegExp]>([
    [
      'an unknown field',
      [],
      ['profile: demo\ncomponents:\n  pilto: {}'],
      /^values-0\.yaml:3:3 InstallationValues components\.pilto: .*did you mean `pilot`\?/,
    ],
    ['an unknown profile', [], ['profile: dmeo'], /^values-0\.yaml:1:10 .*profile/],
    [
      'a misspelling of users of other tools',
      [],
      ['components: {galley: {replicaCount: 2}}'],
      /did you mean `replicas`\?/,
    ],
    [
      'a word',
      ['components.galley.replicas=none'],
      [],
      /^--set components\.galley\.replicas=none InstallationValues components\.galley\.replicas: /,
    ],
    ['a word without a value', ['profile'], [], /expected PATH=VALUE/],
    [
      'MeshConfig in a file',
      [],
      ['profile: demo\nmeshConfig:\n  accesslogfile: x'],
      /^values-0\.yaml:2:1 .* meshConfig\.accesslogfile: unknown field/,
    ],
    ['MeshConfig in a word', ['meshConfig.accesslogfile=x'], [], /meshConfig\.accesslogfile: unknown field/],
    ['a revision that is no label', ['revision=1.2.0'], [], /no DNS label/],
    [
      'bounds that contradict',
      ['components.pilot.autoscaling.minReplicas=9'],
      [],
      /components\.pilot\.autoscaling: minReplicas 9 is above maxReplicas 5/,
    ],
    ['a resource that nobody knows', ['components.pilot.resources.requests.gpu=1'], [], /gpu/],
  ])('%s is told with its place', (_what, set, files, message) => {
    const { values, problems } = resolve(set, ...files);
    expect(values).toBeUndefined();
    expect(problems).toContainEqual(expect.stringMatching(message));
  });
});
