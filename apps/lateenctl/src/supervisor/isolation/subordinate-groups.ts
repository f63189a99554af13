// Isolation: the groups that the system lets a user hand out in a user namespace, as /etc/subgid says them. Pure.

export interface Owner {
  readonly name: string;
  readonly uid: number;
}

/** The first group of the user's range; undefined where there is none. @param text of /etc/subgid: `NAME-OR-UID:FIRST:COUNT` */
export function firstSubordinateGroup(text: string, { name, uid }: Owner): number | undefined {
  for (const line of text.split('\n')) {
    const [who, first, count] = line.trim().split(':');
    if (who !== name && who !== String(uid)) continue;
    if (/^\d+$/.test(first ?? '') && Number(count) > 0) return Number(first);
  }
  return undefined;
}
