package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// containerLog writes what a container says in the format that kubelets read, and to those who are attached to it.
type containerLog struct {
	path     string
	mutex    sync.Mutex
	file     *os.File
	attached map[io.Writer]string
	ended    sync.WaitGroup
}

func newContainerLog(path string) (*containerLog, error) {
	log := &containerLog{path: path, attached: map[io.Writer]string{}}
	return log, log.reopen()
}

// reopen begins a new file where the old one was moved away.
func (log *containerLog) reopen() error {
	log.mutex.Lock()
	defer log.mutex.Unlock()
	if err := os.MkdirAll(filepath.Dir(log.path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(log.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	if log.file != nil {
		_ = log.file.Close()
	}
	log.file = file
	return nil
}

// follow takes lines from a stream of the container until that ends.
func (log *containerLog) follow(stream string, source io.Reader) {
	log.ended.Add(1)
	go func() {
		defer log.ended.Done()
		reader := bufio.NewReaderSize(source, 16*1024)
		for {
			line, err := reader.ReadSlice('\n')
			if len(line) > 0 {
				log.write(stream, line)
			}
			if err != nil && err != bufio.ErrBufferFull {
				return
			}
		}
	}()
}

func (log *containerLog) write(stream string, line []byte) {
	log.mutex.Lock()
	defer log.mutex.Unlock()
	for writer, name := range log.attached {
		if name == stream {
			_, _ = writer.Write(line)
		}
	}
	text, isWhole := bytes.CutSuffix(line, []byte("\n"))
	tag := map[bool]string{true: "F", false: "P"}[isWhole]
	entry := append([]byte(time.Now().Format(time.RFC3339Nano)+" "+stream+" "+tag+" "), text...)
	_, _ = log.file.Write(append(entry, '\n'))
}

func (log *containerLog) attach(stream string, writer io.Writer) {
	log.mutex.Lock()
	defer log.mutex.Unlock()
	log.attached[writer] = stream
}

func (log *containerLog) detach(writer io.Writer) {
	log.mutex.Lock()
	defer log.mutex.Unlock()
	delete(log.attached, writer)
}

func (log *containerLog) close() {
	log.ended.Wait()
	log.mutex.Lock()
	defer log.mutex.Unlock()
	_ = log.file.Close()
}
