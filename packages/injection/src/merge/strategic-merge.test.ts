// Merging as Kubernetes does.
import { describe, expect, it } from 'vitest';
import { strategicMerge } from './strategic-merge.js';

describe('strategicMerge', () => {
  it('merges lists by their merge key, in place, and adds what is new at the end', () => {
    const base = {
      containers: [
        { name: 'a', image: '1' },
        { name: 'b', image: '1' },
      ],
    };
    const over = { containers: [{ name: 'c' }, { name: 'a', image: '2' }] };
    expect(strategicMerge(base, over)).toEqual({
      containers: [{ name: 'a', image: '2' }, { name: 'b', image: '1' }, { name: 'c' }],
    });
  });

  it('knows ports by number and protocol, mounts by their path', () => {
    const base = { ports: [{ containerPort: 53, protocol: 'TCP' }], volumeMounts: [{ name: 'x', mountPath: '/x' }] };
    const over = {
      ports: [
        { containerPort: 53, protocol: 'UDP' },
        { containerPort: 53, name: 'dns' },
      ],
      volumeMounts: [{ name: 'y', mountPath: '/x' }],
    };
    expect(strategicMerge(base, over)).toEqual({
      ports: [
        { containerPort: 53, protocol: 'TCP', name: 'dns' },
        { containerPort: 53, protocol: 'UDP' },
      ],
      volumeMounts: [{ name: 'y', mountPath: '/x' }],
    });
  });

  it('lets a value take the place of a reference, a source of another, and a probe of another', () => {
    const base = {
      env: [{ name: 'A', valueFrom: { fieldRef: {} } }],
      volumes: [{ name: 'v', emptyDir: {} }],
      readinessProbe: { httpGet: { port: 1 }, periodSeconds: 3 },
    };
    const over = {
      env: [{ name: 'A', value: '1' }],
      volumes: [{ name: 'v', secret: {} }],
      readinessProbe: { exec: {} },
    };
    expect(strategicMerge(base, over)).toEqual({
      env: [{ name: 'A', value: '1' }],
      volumes: [{ name: 'v', secret: {} }],
      readinessProbe: { exec: {}, periodSeconds: 3 },
    });
  });

  it('replaces lists without a merge key, removes by null, and follows $patch', () => {
    const base = { args: ['a'], gone: 1, volumes: [{ name: 'a' }, { name: 'b' }], securityContext: { runAsUser: 1 } };
    const over = {
      args: ['b'],
      gone: null,
      volumes: [{ name: 'a', $patch: 'delete' }],
      securityContext: { $patch: 'replace', runAsGroup: 2 },
    };
    expect(strategicMerge(base, over)).toEqual({
      args: ['b'],
      volumes: [{ name: 'b' }],
      securityContext: { runAsGroup: 2 },
    });
    expect(strategicMerge({ volumes: [{ name: 'a' }] }, { volumes: [{ $patch: 'replace' }, { name: 'c' }] })).toEqual({
      volumes: [{ name: 'c' }],
    });
    expect(strategicMerge({}, { imagePullSecrets: [] })).toEqual({});
  });

  it('changes neither argument', () => {
    const base = Object.freeze({ env: Object.freeze([Object.freeze({ name: 'A', value: '1' })]) });
    expect(() => strategicMerge(base, { env: [{ name: 'A', value: '2' }] })).not.toThrow();
  });
});
