package docker

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
)

// A canary is an image of a few hundred bytes: one program that says ok and ends. It proves that a platform's
// programs run here, without waiting for a builder image.

const (
	loadAddress = 0x400000
	canarySays  = "ok\n"
)

// canaryProgram assembles the program for a platform, nil when there is none. Each writes canarySays to standard
// output and exits with status 0; the text follows the code.
func canaryProgram(p module.Platform) []byte {
	switch p.GOARCH() {
	case "amd64":
		const header = 64 + 56 // ELF header and one program header
		const code = 33
		text := binary.LittleEndian.AppendUint32(nil, loadAddress+header+code)
		return elf64(elf.EM_X86_64, bytes.Join([][]byte{
			{0xb8, 1, 0, 0, 0},            // mov eax, 1 (write)
			{0xbf, 1, 0, 0, 0},            // mov edi, 1
			append([]byte{0xbe}, text...), // mov esi, text
			{0xba, 3, 0, 0, 0},            // mov edx, 3
			{0x0f, 0x05},                  // syscall
			{0xb8, 60, 0, 0, 0},           // mov eax, 60 (exit)
			{0x31, 0xff},                  // xor edi, edi
			{0x0f, 0x05},                  // syscall
			{0x90, 0x90},                  // nop, nop
			[]byte(canarySays),
		}, nil))
	case "arm64":
		return elf64(elf.EM_AARCH64, append(words(
			0xd2800808, // mov x8, #64 (write)
			0xd2800020, // mov x0, #1
			0x100000c1, // adr x1, text (24 bytes on)
			0xd2800062, // mov x2, #3
			0xd4000001, // svc #0
			0xd2800ba8, // mov x8, #93 (exit)
			0xd2800000, // mov x0, #0
			0xd4000001, // svc #0
		), canarySays...))
	case "arm":
		return elf32(elf.EM_ARM, append(words(
			0xe3a07004, // mov r7, #4 (write)
			0xe3a00001, // mov r0, #1
			0xe28f1010, // add r1, pc, #16 (text)
			0xe3a02003, // mov r2, #3
			0xef000000, // svc 0
			0xe3a07001, // mov r7, #1 (exit)
			0xe3a00000, // mov r0, #0
			0xef000000, // svc 0
		), canarySays...))
	}
	return nil
}

func words(list ...uint32) []byte {
	var out []byte
	for _, w := range list {
		out = binary.LittleEndian.AppendUint32(out, w)
	}
	return out
}

func ident(class elf.Class) (id [elf.EI_NIDENT]byte) {
	copy(id[:], elf.ELFMAG)
	id[elf.EI_CLASS], id[elf.EI_DATA], id[elf.EI_VERSION] = byte(class), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	return id
}

func elf64(machine elf.Machine, code []byte) []byte {
	const ehsize, phsize = 64, 56
	size := uint64(ehsize + phsize + len(code))
	return encode(elf.Header64{
		Ident: ident(elf.ELFCLASS64), Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Entry: loadAddress + ehsize + phsize, Phoff: ehsize, Ehsize: ehsize, Phentsize: phsize, Phnum: 1,
	}, elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: loadAddress, Paddr: loadAddress,
		Filesz: size, Memsz: size, Align: 0x10000,
	}, code)
}

func elf32(machine elf.Machine, code []byte) []byte {
	const ehsize, phsize, eabi5 = 52, 32, 0x05000000
	size := uint32(ehsize + phsize + len(code)) //nolint:gosec // a hundred bytes
	return encode(elf.Header32{
		Ident: ident(elf.ELFCLASS32), Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Entry: loadAddress + ehsize + phsize, Phoff: ehsize, Flags: eabi5, Ehsize: ehsize, Phentsize: phsize, Phnum: 1,
	}, elf.Prog32{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: loadAddress, Paddr: loadAddress,
		Filesz: size, Memsz: size, Align: 0x10000,
	}, code)
}

func encode(parts ...any) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		_ = binary.Write(&b, binary.LittleEndian, p) // a bytes.Buffer takes everything
	}
	return b.Bytes()
}

func canaryRef(p module.Platform) string { return "modfarm/canary-" + p.Dashed() + ":1" }

// loadCanary gives the canary's image to the engine, as an archive that records the platform: engines that
// import a bare file system call everything their own platform.
func (r *Runner) loadCanary(ctx context.Context, p module.Platform) error {
	if _, err := r.engine.ImageInspect(ctx, canaryRef(p)); err == nil || !errdefs.IsNotFound(err) {
		return err
	}
	archive, err := canaryArchive(p)
	if err != nil {
		return err
	}
	res, err := r.engine.ImageLoad(ctx, bytes.NewReader(archive), client.ImageLoadWithQuiet(true))
	if err != nil {
		return fmt.Errorf("load a test image: %w", err)
	}
	defer res.Close()
	if _, err := io.Copy(io.Discard, res); err != nil {
		return fmt.Errorf("load a test image: %w", err)
	}
	return nil
}

func canaryArchive(p module.Platform) ([]byte, error) {
	layer, err := tarLayer("canary", canaryProgram(p))
	if err != nil {
		return nil, fmt.Errorf("make a test image: %w", err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, fmt.Errorf("make a test image: %w", err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("make a test image: %w", err)
	}
	config = config.DeepCopy()
	platform := ociPlatform(p)
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Config = v1.Config{Entrypoint: []string{"/canary"}}
	img, err = mutate.ConfigFile(img, config)
	if err != nil {
		return nil, fmt.Errorf("make a test image: %w", err)
	}
	ref, err := name.NewTag(canaryRef(p))
	if err != nil {
		return nil, fmt.Errorf("make a test image: %w", err)
	}
	var archive bytes.Buffer
	if err := tarball.Write(ref, img, &archive); err != nil {
		return nil, fmt.Errorf("make a test image: %w", err)
	}
	return archive.Bytes(), nil
}

// runCanary runs the canary of a platform, with a folder mounted when one is given, and checks what it says.
func (r *Runner) runCanary(ctx context.Context, p module.Platform, folder string) error {
	if err := r.loadCanary(ctx, p); err != nil {
		return err
	}
	host := &container.HostConfig{NetworkMode: "none", CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"}}
	host.Ulimits = r.limits.ulimits()
	if folder != "" {
		host.Mounts = []mount.Mount{{Type: mount.TypeBind, Source: folder, Target: "/folder", ReadOnly: true}}
	}
	code, said, err := r.runOnce(ctx, client.ContainerCreateOptions{
		Config:     &container.Config{Image: canaryRef(p), Labels: map[string]string{labelWorker: r.opts.Name}},
		HostConfig: host,
		Platform:   ociPlatform(p),
	})
	if err == nil && (code != 0 || said != canarySays) {
		err = fmt.Errorf("it ended with %d and said %q", code, said)
	}
	return err
}

// runOnce runs a container to its end, removes it, and gives its exit status and output.
func (r *Runner) runOnce(ctx context.Context, options client.ContainerCreateOptions) (code int64, output string, err error) {
	made, err := r.makeContainer(ctx, options)
	if err != nil {
		return 0, "", err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		if rerr := r.remove(ctx, made.ID); err == nil {
			err = rerr
		}
	}()
	wait := r.engine.ContainerWait(ctx, made.ID, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := r.engine.ContainerStart(ctx, made.ID, client.ContainerStartOptions{}); err != nil {
		go func() { // the client waits for somebody to take its answer, which the removal above brings
			select {
			case <-wait.Result:
			case <-wait.Error: //nolint:errcheck // the error of the start is returned
			}
		}()
		return 0, "", err
	}
	select {
	case err := <-wait.Error:
		return 0, "", err
	case res := <-wait.Result:
		code = res.StatusCode
	}
	logs, err := r.engine.ContainerLogs(ctx, made.ID, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return code, "", err
	}
	defer logs.Close()
	var b bytes.Buffer
	_, err = stdcopy.StdCopy(&b, &b, logs)
	return code, b.String(), err
}
