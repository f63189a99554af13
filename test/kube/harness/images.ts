// Test cluster: what stands for images. Nothing is pulled: an image is the file system of this machine with folders laid over it.

import { writeFileSync } from 'node:fs';
import { REPOSITORY } from '../../harness/repository.js';

export interface ImageBind {
  /** A file or folder of this machine. */
  readonly source: string;
  /** Where a container sees it, read-only. */
  readonly target: string;
}

/**
 * In a container /run, /tmp, /var/tmp, /root, /home, /mnt, /media, /opt and /var/log are empty, and the rest is this machine's;
 * what a container writes stays with it.
 */
export interface Image {
  readonly binds?: readonly ImageBind[];
  readonly entrypoint?: readonly string[];
  /** Where a pod gives no arguments. */
  readonly command?: readonly string[];
  /** NAME=VALUE */
  readonly environment?: readonly string[];
  readonly workingDirectory?: string;
  /** Number of the user; root where none is given. */
  readonly user?: number;
}

/** By reference; a name without a tag, or with the tag `*`, stands for all tags. */
export type Images = Readonly<Record<string, Image>>;

const repositoryAt = (target: string): ImageBind => ({ source: REPOSITORY, target });

function ownImage(program: string, user: number): Image {
  return {
    binds: [repositoryAt('/opt/lateen')],
    entrypoint: [`/opt/lateen/bin/lateen-${program}`],
    environment: ['PATH=/opt/lateen/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    user,
  };
}

/** A program of this machine, as an image of its own would have it. */
export const hostImage = (...entrypoint: readonly string[]): Image => ({ entrypoint });

/** The images that every cluster has. */
export const BASE_IMAGES: Images = {
  'lateen/galley': ownImage('galley', 1337),
  'lateen/pilot': ownImage('pilot', 1337),
  'lateen/citadel': ownImage('citadel', 1337),
  // Its arguments begin with the program, and istio-init needs the same image as root.
  'lateen/sidecar': { ...ownImage('sidecar', 1337), entrypoint: [] },
  'lateen/bookinfo': {
    binds: [repositoryAt('/opt/lateen')],
    workingDirectory: '/opt/lateen/examples/bookinfo',
    user: 1000,
  },
  /** Any program of this machine, by the pod's command. */
  host: {},
  node: { entrypoint: ['node'] },
  python: { entrypoint: ['python3'] },
  curl: { entrypoint: ['curl'] },
};

export function writeImages(path: string, images: Images): void {
  writeFileSync(path, JSON.stringify(images, undefined, 2));
}
