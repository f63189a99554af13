// Settings: what the proxy's container asks for: the pod's annotations, which take the place of the values together, as
// Istio has it.

export interface Resources {
  readonly requests?: Readonly<Record<string, string | number>>;
  readonly limits?: Readonly<Record<string, string | number>>;
}

const PREFIX = 'sidecar.istio.io/proxy';

export function proxyResources(annotations: Readonly<Record<string, string>>, values: Resources): Resources {
  const read = (suffix: '' | 'Limit') => {
    const cpu = annotations[`${PREFIX}CPU${suffix}`];
    const memory = annotations[`${PREFIX}Memory${suffix}`];
    return { ...(cpu !== undefined && { cpu }), ...(memory !== undefined && { memory }) };
  };
  const [requests, limits] = [read(''), read('Limit')];
  const given = [requests, limits].some((each) => Object.keys(each).length > 0);
  if (!given) return values;
  return {
    ...(Object.keys(requests).length > 0 && { requests }),
    ...(Object.keys(limits).length > 0 && { limits }),
  };
}
