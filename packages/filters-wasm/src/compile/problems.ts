// What is wrong with a resource, in the words of a NACK: the resource, the field's path, and why.

export interface CompileProblem {
  /** `RouteConfiguration`, `Cluster`, `HttpConnectionManager`, … */
  readonly resourceType: string;
  readonly resourceName: string;
  /** Proto field notation: `virtual_hosts[0].routes[2].match.safe_regex`; empty for the resource itself. */
  readonly path: string;
  readonly message: string;
}

/** Collects problems of one resource. */
export class ProblemList {
  readonly problems: CompileProblem[] = [];

  constructor(
    private readonly resourceType: string,
    private readonly resourceName: string,
  ) {}

  add(path: string, message: string): void {
    this.problems.push({ resourceType: this.resourceType, resourceName: this.resourceName, path, message });
  }
}

/** One line for logs and for a NACK's error detail. */
export function formatProblem(problem: CompileProblem): string {
  const where = problem.path === '' ? '' : ` ${problem.path}`;
  return `${problem.resourceType} ${problem.resourceName}:${where} ${problem.message}`;
}
