import sys; sys.path.insert(0,'tests')
import test_editing as T, numpy as np
def test_probe(pipe):
    for s in (2,23):
        x=T.low_passed(T.noise(s,44100,2),44100,4200,100)
        (o,)=T.edit_source(pipe,T.Source(x,44100),T.ExtendOptions("x",**T.FAST))
        m=lambda v,l,h:np.abs(T.band(v,44100,l,h)[441:-441]).max()
        print('PROBE',s,m(o.samples-x,None,3600),[np.abs(p).max() for p in np.array_split(T.band(o.samples,44100,4700,7500)[441:-441],3)],m(x,4700,7500),m(o.samples,9500,None))
    t=np.arange(3*22050)/22050
    r=(np.sin(2*np.pi*110.25*t)*np.linspace(.1,.7,len(t)))[:,None].astype(np.float32)
    (o,)=T.edit_source(pipe,T.Source(r,22050),T.LoopOptions("x",join=.5,**T.FAST))
    print('PROBE loop',T.seam_ratio(r[:,0]),T.seam_ratio(o.samples[:,0]))
    y=T.noise(1,22050)*np.exp(-4*np.linspace(0,1,22050))[:,None].astype(np.float32)
    oo=T.log_mel(T.excerpt(y,22050,pipe.config).wave,T.CFG)
    print('PROBE vary',[np.abs(T.edit_source(pipe,T.Source(y,22050),T.VaryOptions("x",a,num=1,**T.FAST))[0].mel-oo).mean() for a in (0,.3,1)])
from test_editing import pipe
