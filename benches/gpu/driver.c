// A CUDA driver without a GPU: it says that it is one device, loads any module and runs nothing.
//
// Compiled kernels and a trace of all launches and copies are left in a folder, so that what a
// program asks of a GPU can be looked at where there is none. Device memory is addresses only:
// what is copied there is dropped, and reads as zeros.
//
//   OFFLINE_CAPABILITY   compute capability of the device, 8.0 (A100) or 9.0 (H100)
//   OFFLINE_OUT          folder of NAME.ptx for every kernel, and of trace.txt
//
// A line of the trace is one of
//
//   launch NAME GRID_X GRID_Y GRID_Z BLOCK_X BLOCK_Y BLOCK_Z SHARED_BYTES
//   to_device BYTES | to_host BYTES | on_device BYTES | fill BYTES | allocate BYTES | wait 0

#include <cuda.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Time of a launch, for programs that compare kernels: those of fewer launches are faster.
#define LAUNCH_MS 0.01
// Time that a launch of what measures the device takes: so long that CubeCL takes the first kernel
// of its choice as fast enough, and compiles no other.
#define PROBE_US 300000

struct CUevent_st {
    double ms;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *trace;
static double now_ms;
static CUdeviceptr next_address = 1ull << 40;

static const char *setting(const char *name) {
    const char *value = getenv(name);
    if (!value) {
        fprintf(stderr, "%s is not set\n", name);
        exit(2);
    }
    return value;
}

static int hopper(void) { return setting("OFFLINE_CAPABILITY")[0] == '9'; }

static FILE *create(const char *name, const char *extension) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s%s", setting("OFFLINE_OUT"), name, extension);
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        exit(2);
    }
    return file;
}

static CUresult note(const char *what, size_t bytes) {
    pthread_mutex_lock(&lock);
    fprintf(trace, "%s %zu\n", what, bytes);
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

// The device.

CUresult cuInit(unsigned int flags) {
    pthread_mutex_lock(&lock);
    if (!trace) trace = create("trace", ".txt");
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int *version) {
    *version = CUDA_VERSION;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count) {
    *count = 1;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    *device = ordinal;
    return ordinal == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
    snprintf(name, length, "%s without a GPU", hopper() ? "H100" : "A100");
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetPCIBusId(char *id, int length, CUdevice device) {
    snprintf(id, length, "0000:00:00.0");
    return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem(size_t *bytes, CUdevice device) {
    *bytes = 80ull << 30;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
    switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = hopper() ? 9 : 8; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = 0; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = hopper() ? 132 : 108; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
        *value = (hopper() ? 227 : 163) << 10;
        break;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X: *value = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y: *value = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z: *value = 64; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X: *value = 2147483647; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y: *value = 65535; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z: *value = 65535; break;
    default:
        fprintf(stderr, "attribute %d is not known\n", attribute);
        return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    *context = (CUcontext)1;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context) { return CUDA_SUCCESS; }

CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest) {
    *least = *greatest = 0;
    return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char **text) {
    *text = error == CUDA_SUCCESS ? "success" : "an error of the driver without a GPU";
    return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult error, const char **text) { return cuGetErrorName(error, text); }

// Streams and events: everything has happened.

CUresult cuStreamCreate(CUstream *stream, unsigned int flags) {
    *stream = (CUstream)malloc(1);
    return CUDA_SUCCESS;
}

CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned int flags, int priority) {
    return cuStreamCreate(stream, flags);
}

CUresult cuStreamDestroy(CUstream stream) {
    free(stream);
    return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream stream) { return note("wait", 0); }

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned int flags) {
    return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent *event, unsigned int flags) {
    *event = calloc(1, sizeof **event);
    return CUDA_SUCCESS;
}

CUresult cuEventDestroy(CUevent event) {
    free(event);
    return CUDA_SUCCESS;
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
    pthread_mutex_lock(&lock);
    event->ms = now_ms;
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

CUresult cuEventSynchronize(CUevent event) { return CUDA_SUCCESS; }

CUresult cuEventElapsedTime(float *ms, CUevent start, CUevent end) {
    *ms = end->ms - start->ms;
    return CUDA_SUCCESS;
}

// Memory.

CUresult cuMemAlloc(CUdeviceptr *address, size_t bytes) {
    pthread_mutex_lock(&lock);
    *address = next_address;
    next_address += (bytes + 511) & ~511ull;
    pthread_mutex_unlock(&lock);
    return note("allocate", bytes);
}

CUresult cuMemAllocAsync(CUdeviceptr *address, size_t bytes, CUstream stream) {
    return cuMemAlloc(address, bytes);
}

CUresult cuMemFree(CUdeviceptr address) { return CUDA_SUCCESS; }

CUresult cuMemFreeAsync(CUdeviceptr address, CUstream stream) { return CUDA_SUCCESS; }

CUresult cuMemAllocHost(void **pointer, size_t bytes) {
    *pointer = aligned_alloc(4096, (bytes + 4095) & ~4095ull);
    return *pointer ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemFreeHost(void *pointer) {
    free(pointer);
    return CUDA_SUCCESS;
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) {
    return note("fill", bytes);
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
    return note("to_device", bytes);
}

CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
    memset(to, 0, bytes);
    return note("to_host", bytes);
}

CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    return note("on_device", bytes);
}

CUresult cuMemcpy2DAsync(const CUDA_MEMCPY2D *copy, CUstream stream) {
    size_t bytes = copy->WidthInBytes * copy->Height;
    if (copy->dstMemoryType != CU_MEMORYTYPE_HOST) return note("to_device", bytes);
    for (size_t row = 0; row < copy->Height; row++)
        memset((char *)copy->dstHost + row * copy->dstPitch, 0, copy->WidthInBytes);
    return note("to_host", bytes);
}

CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank,
                                void *address, const cuuint64_t *dim, const cuuint64_t *strides,
                                const cuuint32_t *box, const cuuint32_t *element_strides,
                                CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill) {
    memset(map, 0, sizeof *map);
    return CUDA_SUCCESS;
}

// Modules. A module is its PTX, a function its name.

CUresult cuModuleLoadData(CUmodule *module, const void *image) {
    *module = (CUmodule)strdup(image);
    return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    FILE *file = create(name, ".ptx");
    fputs((const char *)module, file);
    fclose(file);
    *function = (CUfunction)strdup(name);
    return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
    return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y,
                        unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                        unsigned int block_z, unsigned int shared, CUstream stream, void **arguments,
                        void **extra) {
    const char *name = (const char *)function;
    if (strstr(name, "_throughput")) usleep(PROBE_US);
    pthread_mutex_lock(&lock);
    now_ms += LAUNCH_MS;
    fprintf(trace, "launch %s %u %u %u %u %u %u %u\n", name, grid_x, grid_y, grid_z, block_x, block_y,
            block_z, shared);
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}
